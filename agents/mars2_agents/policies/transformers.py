r"""A policy that samples from a language model with transformers, on a CPU or a GPU.

Spec: `hf:smollm2`, `hf:PATH` or `hf:ORG/NAME`, with the fields of `Settings` as options, and `lora` (the folder of an
adapter), `dtype` and `device`. In the texts `stop`, `system` and `think_end`, `\n`, `\t` and `\u002c` stand for the end
of a line, a tab and a comma; `|` separates stop strings (`\u007c` stands for one). Policies of one checkpoint, device
and dtype share the loaded model, and `act_together` batches their turns, whatever their settings and adapters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mars2_agents.policies.chat_tokens import fitted_prompt, reply_ids, with_system
from mars2_agents.policies.engine import Engine, engine, eos_ids
from mars2_env.base.parts import checked_by
from mars2_env.errors import ConfigError, PolicyError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.types import Generation, Given, Reply, Turn

if TYPE_CHECKING:
    from mars2_agents.policies.sampling import Completion, Request, Thinking

__all__ = ["Engine", "Settings", "TransformersPolicy", "engine", "eos_ids", "from_spec", "named_parent"]

PARENT: Final = re.compile(r"^\W*PARENT\W*[:=]\W*(\d+)\W*$", re.IGNORECASE | re.MULTILINE)
"""A line of a reply that names the parent, where the agent chooses it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a policy samples.

    Attributes:
        temperature: 0 is greedy.
        top_p: the probability kept.
        max_new_tokens: the most tokens of a reply, thinking included.
        batch_size: the most turns in one forward pass.
        context: the most tokens of prompt and reply together (None: the model's own limit, which holds in any case).
        top_k: how many of the likeliest tokens are kept, before `top_p`; 0 keeps all.
        stop: strings that end a reply; its text ends before the first, its tokens with the one that completed it. In
            thinking they end nothing.
        system: a text put behind the system message, which makes a role of a policy (`chat_tokens.with_system`).
        thinking: of a model that thinks first, the most tokens it may think; then `think_end` is forced. None: it is
            not known to think.
        think_end: what ends its thinking.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    max_new_tokens: int = 384
    batch_size: int = 16
    context: int | None = None
    top_k: int = 0
    stop: tuple[str, ...] = ()
    system: str = ""
    thinking: int | None = None
    think_end: str = "</think>"

    def __post_init__(self) -> None:
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        object.__setattr__(self, "stop", tuple(self.stop))
        for name, good, rule in (
            ("temperature", 0 <= self.temperature < float("inf"), "a finite number, 0 or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("context", self.context is None or self.context >= 2, "2 or more"),
            ("top_k", self.top_k >= 0, "0, for all tokens, or more"),
            ("stop", all(isinstance(text, str) and text for text in self.stop), "texts that are not empty"),
            ("system", isinstance(self.system, str), "a text"),
            (
                "thinking",
                self.thinking is None or 0 <= self.thinking < self.max_new_tokens,
                f"0 or more and below max_new_tokens ({self.max_new_tokens}), of which thinking is a part",
            ),
            ("think_end", isinstance(self.think_end, str) and bool(self.think_end), "a text that is not empty"),
        ):
            if not good:
                raise ConfigError(f"TransformersPolicy({name}={getattr(self, name)!r}): must be {rule}.")


FIRST_SETTINGS: Final = ("temperature", "top_p", "max_new_tokens", "batch_size", "context")
"""Those that identities always tell; others only where they are set, so that older run folders know their policies."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter that an engine holds: its name there, made from its content, and the version of its weights."""

    name: str
    version: int = 0


class TransformersPolicy:
    """Writes programs with a language model.

    A reply is a function of the turn's messages and seed, up to rounding: rows of a batch share the forward passes and
    nothing else. `Generation.logprobs` are of kind "sampled", and `kept_mass` makes them "tempered" ones (0 and 1 for
    greedy). A prompt that does not fit the context loses the middle of its longest message.
    Where the agent chooses the parent, a reply's last line `PARENT: n` names it, as it stands; without one it is the
    root.

    With `thinking=N` a reply's text is what stands behind the thinking ("" where that never ended), and
    `Generation.text` all that was written. Thinking that has not ended after N tokens is closed: the tokens of
    `think_end` are written in its place, with nan for log-probabilities, because nobody sampled them (a learner masks
    them), and the finish reason is "length" whatever follows. Where the context leaves a reply less than
    `max_new_tokens`, N shrinks in proportion.

    Args:
        model: a causal language model of transformers, or an `Engine` to share.
        tokenizer: its tokenizer, with a chat template; not used with an `Engine`.
        settings: how to sample; keyword arguments are its fields, for short.
        lora: the folder of a LoRA adapter, which is put over the engine's model for this policy alone.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        settings: Settings | None = None,
        *,
        lora: str | Path | None = None,
        **fields: Any,
    ) -> None:
        unknown = next((name for name in fields if name not in Settings.__slots__), None)
        if unknown is not None:
            raise ConfigError(unknown_name("setting of TransformersPolicy", unknown, [*Settings.__slots__, "lora"]))
        self.engine = model if isinstance(model, Engine) else Engine(model, tokenizer)
        self.settings = replace(settings or Settings(), **fields)
        self._adapter = None if lora is None else Adapter(self.engine.load_adapter(lora))

    def __repr__(self) -> str:
        lora = f", lora={self._adapter.name!r}" if self._adapter else ""
        return (
            f"TransformersPolicy({self.engine.name!r}, temperature={self.settings.temperature}, "
            f"top_p={self.settings.top_p}, max_new_tokens={self.settings.max_new_tokens}{lora})"
        )

    @property
    def identity(self) -> str:
        """The model with its dtype, version of weights and adapter, and how it samples."""
        usual = Settings()
        told = {one.name: getattr(self.settings, one.name) for one in fields(self.settings)}
        told = {name: value for name, value in told.items() if name in FIRST_SETTINGS or value != getattr(usual, name)}
        settings = ",".join(f"{name}={value}" for name, value in told.items())
        dtype = str(getattr(self.engine.model, "dtype", "unknown")).removeprefix("torch.")
        lora = f",lora={self._adapter.name}" if self._adapter else ""
        return f"transformers:{self.engine.name},dtype={dtype},weights={self.weights_version}{lora},{settings}"

    @property
    def gives(self) -> frozenset[Given]:
        """Its generations tell all but a cost."""
        return frozenset({"token_ids", "logprobs", "token_counts"})

    @property
    def weights_version(self) -> int:
        """That of its adapter where it has one, else that of the engine's weights."""
        return self._adapter.version if self._adapter else self.engine.weights_version

    @property
    def batch_key(self) -> Hashable:
        """Policies with equal keys can act together, in one batch."""
        return ("transformers", id(self.engine))

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that it acts with, if it has one."""
        return self._adapter

    def load_adapter(self, path: str | Path, version: int) -> None:
        """Go on with the LoRA adapter of a folder, in the place of the one before if there was one.

        Replies that are being written keep the weights that they began with; other policies keep theirs.

        Args:
            path: a folder as peft's `save_pretrained` writes it.
            version: above the present version of this policy's adapter, if it has one; goes into generations.

        Raises:
            PolicyError: the version does not rise, or the adapter cannot be loaded; then nothing changes.
        """
        with self.engine.lock:
            before = self._adapter
            if before and version <= before.version:
                raise PolicyError(
                    f"load_adapter(version={version}): this policy has version {before.version}; give a higher one."
                )
            self._adapter = Adapter(self.engine.load_adapter(path), version)
            if before:
                self.engine.drop_adapter(before.name)

    def drop_adapter(self) -> None:
        """Go on with the engine's own weights."""
        with self.engine.lock:
            if self._adapter:
                self.engine.drop_adapter(self._adapter.name)
                self._adapter = None

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
        if not pairs:
            return []
        shared = pairs[0][0].engine
        size = min(policy.settings.batch_size for policy, _ in pairs)
        # Held from the first look at an adapter to the last reply, so that each is of one version of the weights.
        with shared.lock:
            asked = [policy._ask(turn) for policy, turn in pairs]
            completions = shared.sample([request for request, _ in asked], batch_size=size)
            return [
                policy._reply(turn, request, completion, cut)
                for (policy, turn), (request, cut), completion in zip(pairs, asked, completions, strict=True)
            ]

    def request(self, turn: Turn) -> Request:
        """Return what to sample for a turn."""
        return self._ask(turn)[0]

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the model is asked with for a turn."""
        return self._ask(turn)[0].prompt

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a reply of this text, the one that ends it included.

        With `thinking`, that is of a reply whose thinking ended before it began.
        """
        tokenizer, settings = self.engine.tokenizer, self.settings
        thought = () if settings.thinking is None else tokenizer.encode(settings.think_end, add_special_tokens=False)
        return (*thought, *reply_ids(tokenizer, text, self.engine.eos_ids))

    def _ask(self, turn: Turn) -> tuple[Request, int]:
        """Return what to sample for a turn, and how many tokens its prompt lost."""
        from mars2_agents.policies.sampling import BASE, Request

        settings = self.settings
        context = min(self.engine.context, settings.context or self.engine.context)
        # At least half of the context is for the prompt, however long a reply may be.
        limit = max(context // 2, context - settings.max_new_tokens)
        prompt = fitted_prompt(self.engine.tokenizer, with_system(turn.messages, settings.system), limit=limit)
        room = min(settings.max_new_tokens, context - len(prompt.ids))
        request = Request(
            prompt.ids,
            turn.seed,
            settings.temperature,
            settings.top_p,
            room,
            settings.top_k,
            self._adapter.name if self._adapter else BASE,
            self._stops() if settings.stop else None,
            self._thinking(room),
        )
        return request, prompt.cut

    def _stops(self) -> Callable[[Sequence[int]], bool]:
        """Return what says whether token ids end with one that completed a stop string."""
        stop = self.settings.stop
        # A token is at least a byte; one more, since some tokenizers decode the first of a text in another way.
        most = max(len(text.encode()) for text in stop) + 1

        def stops(ids: Sequence[int]) -> bool:
            text = self._decoded(ids[-most:])
            return any(one in text for one in stop)

        return stops

    def _thinking(self, room: int) -> Thinking | None:
        from mars2_agents.policies.sampling import Thinking

        settings = self.settings
        if settings.thinking is None:
            return None
        end = tuple(self.engine.tokenizer.encode(settings.think_end, add_special_tokens=False))
        return Thinking(settings.thinking * room // settings.max_new_tokens, end)

    def _decoded(self, ids: Sequence[int]) -> str:
        text: str = self.engine.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def reply(self, turn: Turn, request: Request, completion: Completion) -> Reply:
        """Return the reply that a completion is."""
        return self._reply(turn, request, completion, 0)

    def _reply(self, turn: Turn, request: Request, completion: Completion, prompt_cut: int) -> Reply:
        ids = (
            completion.ids[:-1] if completion.ids[-1:] and completion.ids[-1] in self.engine.eos_ids else completion.ids
        )
        answer = ids[completion.thinking_tokens or 0 :] if completion.thought else ()
        text = before_first(self._decoded(answer), self.settings.stop)
        generation = Generation(
            prompt_ids=request.prompt,
            completion_ids=completion.ids,
            logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            weights_version=self.weights_version,
            text="" if completion.thinking_tokens is None else self._decoded(ids),
            logprobs_kind="sampled",
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            kept_mass=completion.kept_mass,
            prompt_cut=prompt_cut,
            thinking_tokens=completion.thinking_tokens,
        )
        return Reply(text, parent=named_parent(text) if turn.parent is None else None, generation=generation)


def before_first(text: str, stop: Sequence[str]) -> str:
    """Return what stands before the first of some strings in a text; all of it where none of them does."""
    return text[: min((place for one in stop if (place := text.find(one)) >= 0), default=len(text))]


def named_parent(text: str) -> int:
    """Return the node that the last line `PARENT: n` names, whether it is on offer or not; 0, the root, without one."""
    found = PARENT.findall(text)
    return int(found[-1]) if found and len(found[-1]) < 10 else 0


def unescaped(text: str) -> str:
    r"""Return a text in which `\n`, `\t`, `\uXXXX` and `\\` stand for what they do in JSON; ValueError for others."""
    said: str = json.loads('"' + text.replace('"', '\\"') + '"', strict=False)
    return said


def stop_texts(text: str) -> tuple[str, ...]:
    """Return the stop strings of an option, which `|` separates."""
    return tuple(unescaped(one) for one in text.split("|"))


OPTIONS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "temperature": (float, "a number"),
    "top_p": (float, "a number"),
    "max_new_tokens": (int, "a whole number"),
    "batch_size": (int, "a whole number"),
    "context": (int, "a whole number"),
    "top_k": (int, "a whole number"),
    "stop": (stop_texts, "texts with JSON's escapes"),
    "system": (unescaped, "a text with JSON's escapes"),
    "thinking": (int, "a whole number"),
    "think_end": (unescaped, "a text with JSON's escapes"),
    "lora": (str, "a folder"),
    "dtype": (str, "a dtype"),
    "device": (str, "a device"),
}

ELSEWHERE: Final[tuple[str, ...]] = ("lora", "dtype", "device")
"""Those that are no `Settings`."""


def read_options(rest: str, **options: str) -> dict[str, Any]:
    """Return the options of a spec `hf:REST,key=value,...` as values, those of `Settings` as such under "settings".

    Args:
        rest: `smollm2`, a checkpoint folder, or `org/name`.
        options: texts; see the module's first lines.

    Raises:
        ConfigError: the rest is missing, or an option is unknown or has a value that makes no sense.
    """
    if not rest:
        raise ConfigError("hf needs a model: hf:smollm2, hf:FOLDER or hf:ORG/NAME.")
    values: dict[str, Any] = {}
    for option, text in options.items():
        if option not in OPTIONS:
            raise ConfigError(unknown_name("option of hf", option, OPTIONS))
        read, what = OPTIONS[option]
        try:
            values[option] = read(text)
        except ValueError:
            raise ConfigError(f"hf option {option}={text!r}: not {what}.") from None
    elsewhere = {name: values.pop(name) for name in ELSEWHERE if name in values}
    return {"settings": Settings(**values), **elsewhere}


@checked_by(read_options)
def from_spec(rest: str, *, problems: ProblemSet | None = None, **options: str) -> TransformersPolicy:
    """Build the policy of a spec `hf:REST,key=value,...`.

    Args:
        rest: as in `read_options`.
        problems: not used; a model needs no reference programs.
        options: as in `read_options`.

    Raises:
        ConfigError: the rest is missing, or an option is unknown or has a value that makes no sense.
        PolicyError: the model or its adapter cannot be loaded.
    """
    read = read_options(rest, **options)  # before the model is loaded, so that a slip is known at once
    place = {name: read[name] for name in ("dtype", "device") if name in read}
    return TransformersPolicy(engine(rest, **place), settings=read["settings"], lora=read.get("lora"))
