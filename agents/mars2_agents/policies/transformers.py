"""A policy that samples from a language model with transformers, on a CPU or a GPU.

Spec: `hf:smollm2`, `hf:PATH` or `hf:ORG/NAME`, with the options `temperature`, `top_p`, `max_new_tokens`, `batch_size`,
`context`, `dtype` and `device`. Policies of one checkpoint, device and dtype share the loaded model, and
`act_together` batches their turns, whatever their temperatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from mars2_agents.policies.chat_tokens import prompt_ids
from mars2_agents.policies.smollm2 import INSTALL, checkpoint, offline, without_bars
from mars2_env.errors import ConfigError, PolicyError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.types import Generation, Reply, Turn

if TYPE_CHECKING:
    from mars2_agents.policies.sampling import Completion, Request

PARENT: Final = re.compile(r"^\W*PARENT\W*[:=]\W*(\d+)\W*$", re.IGNORECASE | re.MULTILINE)
"""A line of a reply that names the parent, where the agent chooses it."""

UNBOUNDED: Final = 10**9


class Engine:
    """One loaded model with its tokenizer; shared by all policies that use it, one batch at a time.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer, with a chat template.
        name: what error messages and `repr` call it.

    `weights_version` goes into every generation; whoever changes the weights raises it.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "") -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name or str(getattr(tokenizer, "name_or_path", "")) or type(model).__name__
        self.weights_version = 0
        self.eos_ids = eos_ids(model, tokenizer)
        self.context = int(getattr(model.config, "max_position_embeddings", None) or UNBOUNDED)
        self._lock = Lock()

    def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """Sample one completion for each request, in one batch."""
        from mars2_agents.policies.sampling import sample

        pad = self.tokenizer.pad_token_id
        with self._lock:
            return sample(self.model, requests, eos_ids=self.eos_ids, pad_id=0 if pad is None else pad)


@dataclass(frozen=True, slots=True)
class Settings:
    """How a policy samples.

    `temperature` 0 is greedy, `top_p` is the probability kept, `max_new_tokens` the most tokens of a reply,
    `batch_size` the most turns in one forward pass, `context` the most tokens of prompt and reply together (None: the
    model's own limit, which holds in any case).
    """

    temperature: float = 0.8
    top_p: float = 0.95
    max_new_tokens: int = 384
    batch_size: int = 16
    context: int | None = None

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("temperature", 0 <= self.temperature < float("inf"), "a finite number, 0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("context", self.context is None or self.context >= 2, "2 or more"),
        ):
            if not good:
                raise ConfigError(f"TransformersPolicy({name}={getattr(self, name)!r}): must be {rule}.")


class TransformersPolicy:
    """Writes programs with a language model.

    A reply is a function of the turn's messages and seed, up to rounding: rows of a batch share the forward passes and
    nothing else. `Generation.logprobs` are those of the distribution that was sampled from, after temperature and
    top-p (0 for greedy). A prompt that does not fit the context loses the middle of its longest message.
    Where the agent chooses the parent, a reply's last line `PARENT: n` names it, as it stands; without one it is the
    root.

    Args:
        model: a causal language model of transformers, or an `Engine` to share.
        tokenizer: its tokenizer, with a chat template; not used with an `Engine`.
        settings: how to sample; keyword arguments are its fields, for short.
    """

    def __init__(self, model: Any, tokenizer: Any = None, settings: Settings | None = None, **fields: Any) -> None:
        unknown = next((name for name in fields if name not in Settings.__slots__), None)
        if unknown is not None:
            raise ConfigError(unknown_name("setting of TransformersPolicy", unknown, Settings.__slots__))
        self.engine = model if isinstance(model, Engine) else Engine(model, tokenizer)
        self.settings = replace(settings or Settings(), **fields)

    def __repr__(self) -> str:
        return (
            f"TransformersPolicy({self.engine.name!r}, temperature={self.settings.temperature}, "
            f"top_p={self.settings.top_p}, max_new_tokens={self.settings.max_new_tokens})"
        )

    @property
    def identity(self) -> str:
        """The model with its dtype and version of weights, and how it samples."""
        settings = ",".join(f"{one.name}={getattr(self.settings, one.name)}" for one in fields(self.settings))
        dtype = str(getattr(self.engine.model, "dtype", "unknown")).removeprefix("torch.")
        return f"transformers:{self.engine.name},dtype={dtype},weights={self.engine.weights_version},{settings}"

    @property
    def batch_key(self) -> Hashable:
        """Policies with equal keys can act together, in one batch."""
        return ("transformers", id(self.engine))

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order."""
        return self.act_together([(self, turn) for turn in turns])

    @staticmethod
    def act_together(pairs: Sequence[tuple[TransformersPolicy, Turn]]) -> list[Reply]:
        """Return one reply for each turn by its policy, in order, batching turns of different policies.

        Raises:
            PolicyError: the policies do not share one engine.
        """
        if len({policy.batch_key for policy, _ in pairs}) > 1:
            raise PolicyError("act_together: the policies have different models; call it once for each batch_key.")
        replies: list[Reply] = []
        size = min((policy.settings.batch_size for policy, _ in pairs), default=1)
        for start in range(0, len(pairs), size):
            batch = pairs[start : start + size]
            requests = [policy.request(turn) for policy, turn in batch]
            completions = batch[0][0].engine.sample(requests)
            replies += [p.reply(t, r, c) for (p, t), r, c in zip(batch, requests, completions, strict=True)]
        return replies

    def request(self, turn: Turn) -> Request:
        """Return what to sample for a turn."""
        from mars2_agents.policies.sampling import Request

        settings = self.settings
        context = min(self.engine.context, settings.context or self.engine.context)
        # At least half of the context is for the prompt, however long a reply may be.
        limit = max(context // 2, context - settings.max_new_tokens)
        prompt = prompt_ids(self.engine.tokenizer, turn.messages, limit=limit)
        room = min(settings.max_new_tokens, context - len(prompt))
        return Request(prompt, turn.seed, settings.temperature, settings.top_p, room)

    def reply(self, turn: Turn, request: Request, completion: Completion) -> Reply:
        """Return the reply that a completion is."""
        ids = completion.ids[:-1] if completion.finish_reason == "stop" else completion.ids
        text = self.engine.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        generation = Generation(
            request.prompt, completion.ids, completion.logprobs, completion.finish_reason, self.engine.weights_version
        )
        return Reply(text, parent=named_parent(text) if turn.parent is None else None, generation=generation)


def named_parent(text: str) -> int:
    """Return the node that the last line `PARENT: n` names, whether it is on offer or not; 0, the root, without one."""
    found = PARENT.findall(text)
    return int(found[-1]) if found and len(found[-1]) < 10 else 0


def eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token id that ends a reply: the generation config's (one or several) and the tokenizer's."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(id for id in [*ids, getattr(tokenizer, "eos_token_id", None)] if id is not None)


_engines: dict[tuple[str, str, str], Engine] = {}
_engines_lock = Lock()


def engine(name: str, *, dtype: str = "auto", device: str = "auto") -> Engine:
    """Return the engine of a checkpoint, loaded at the first call and shared afterwards in this process.

    Args:
        name: `smollm2`, the folder of a checkpoint, or `org/name` on the model hub.
        dtype: `float32`, `bfloat16` or `float16`; `auto` is float32 on a CPU and bfloat16 on a GPU.
        device: a torch device; `auto` is the GPU if there is one.

    Raises:
        PolicyError: torch or transformers is missing, or the checkpoint cannot be loaded.
        ConfigError: the dtype or device is unknown.
    """
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        raise PolicyError(f"hf:{name} needs torch and transformers ({error}): {INSTALL}") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "bfloat16"
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in kinds:
        raise ConfigError(unknown_name("dtype", dtype, [*kinds, "auto"]))
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={device!r} is not usable here: {reason}. Use auto, cpu or cuda.") from error
    place = _checkpoint_of(name)
    key = (place, dtype, device)
    with _engines_lock:
        if key not in _engines:
            _engines[key] = _load(name, place, kinds[dtype], device)
        return _engines[key]


def _checkpoint_of(name: str) -> str:
    if name == "smollm2":
        return str(checkpoint())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise PolicyError(f"hf:{name}: no such checkpoint folder. Write hf:smollm2, hf:FOLDER or hf:ORG/NAME.")
    return name


def _load(name: str, place: str, dtype: Any, device: str) -> Engine:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        if Path(place).is_dir():
            with offline(), without_bars():
                tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
                model: Any = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(place)
            model = AutoModelForCausalLM.from_pretrained(place, dtype=dtype)
    except (OSError, ValueError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise PolicyError(f"hf:{name} cannot be loaded: {reason}") from error
    return Engine(model.to(device), tokenizer, name=name)


OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "temperature": float,
    "top_p": float,
    "max_new_tokens": int,
    "batch_size": int,
    "context": int,
    "dtype": str,
    "device": str,
}


def from_spec(rest: str, *, problems: ProblemSet | None = None, **options: str) -> TransformersPolicy:
    """Build the policy of a spec `hf:REST,key=value,...`.

    Args:
        rest: `smollm2`, a checkpoint folder, or `org/name`.
        problems: not used; a model needs no reference programs.
        options: texts; see the module's first lines.

    Raises:
        ConfigError: the rest is missing, or an option is unknown or has a value that makes no sense.
        PolicyError: the model cannot be loaded.
    """
    if not rest:
        raise ConfigError("hf needs a model: hf:smollm2, hf:FOLDER or hf:ORG/NAME.")
    values: dict[str, Any] = {}
    for option, text in options.items():
        if option not in OPTIONS:
            raise ConfigError(unknown_name("option of hf", option, OPTIONS))
        try:
            values[option] = OPTIONS[option](text)
        except ValueError:
            raise ConfigError(f"hf option {option}={text!r}: not {OPTIONS[option].__name__}.") from None
    place = {key: values.pop(key) for key in ("dtype", "device") if key in values}
    settings = Settings(**values)  # before the model is loaded, so that a slip is known at once
    return TransformersPolicy(engine(rest, **place), settings=settings)
