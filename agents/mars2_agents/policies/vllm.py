"""A policy that samples from a language model with vLLM: a server of our own or somebody's, or an engine inside.

Spec: `vllm:smollm2`, `vllm:PATH` or `vllm:ORG/NAME` starts a server, which all policies of this process with that
checkpoint and those server options share; `vllm:PATH@http://host:port/v1` and `vllm:PATH@unix:/path` use one that runs.
There PATH is where the tokenizer is; without it that of the server's own checkpoint is taken, if it is on this machine.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Any, Final, Literal

from mars2_agents.policies.chat_tokens import fitted_prompt, reply_ids, with_system
from mars2_agents.policies.engine import UNBOUNDED
from mars2_agents.policies.transformers import named_parent
from mars2_agents.policies.vllm_engine import Adapter, Completion, Request, VLLMEngine
from mars2_agents.policies.vllm_http import HTTPEngine
from mars2_agents.policies.vllm_inside import InsideEngine
from mars2_agents.policies.vllm_server import Address, ServerOptions, VLLMServer, address_of, checkpoint_of, listens
from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.parts import checked_by
from mars2_env.errors import ConfigError, PolicyUnavailableError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.types import Generation, Given, Reply, Turn


@dataclass(frozen=True, slots=True)
class Settings:
    """How a policy samples, and in which role.

    Attributes:
        temperature: 0 is greedy.
        top_p: the probability kept.
        top_k: how many tokens are kept; 0 for all.
        max_new_tokens: the most tokens of a reply.
        context: the most tokens of prompt and reply together; None: the model's own limit, which holds in any case.
        stop: texts that end a reply, which is cut before them.
        system: what the policy is told of its role, behind the system message of a turn.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = 0
    max_new_tokens: int = 384
    context: int | None = None
    stop: tuple[str, ...] = ()
    system: str = ""

    def __post_init__(self) -> None:
        where = "VLLMPolicy"
        object.__setattr__(self, "temperature", real_number("temperature", self.temperature, least=0, where=where))
        object.__setattr__(self, "top_p", real_number("top_p", self.top_p, above=0, most=1, where=where))
        whole_number("top_k", self.top_k, least=0, where=where)
        whole_number("max_new_tokens", self.max_new_tokens, least=1, where=where)
        if self.context is not None:
            whole_number("context", self.context, least=2, where=where)
        if isinstance(self.stop, str) or not all(isinstance(one, str) and one for one in self.stop):
            raise ConfigError(f"{where}(stop={self.stop!r}): give a sequence of texts.")
        object.__setattr__(self, "stop", tuple(self.stop))


class VLLMPolicy:
    """Writes programs with a language model behind vLLM.

    A reply is a function of the turn's messages and seed and of the weights, up to rounding: what else is in the batch
    moves log-probs by some 1e-5, which now and then decides a token. `Generation.logprobs` are those of the
    distribution that was sampled from (of greedy replies, the model's own), as `logprobs_kind` says.

    Args:
        model: an engine to share (`HTTPEngine`, `InsideEngine`, or `policy.engine` of another policy), a `VLLMServer`,
            or the address of a server as in specs: `http://host:port/v1` or `unix:/path`.
        settings: how to sample; keyword arguments are its fields, for short.
        lora: the folder of a LoRA adapter over the base model; policies that share an engine may each have their own.
        tokenizer: a transformers tokenizer or the folder of one, for an address.

    What the policy made itself (an engine for an address or a server) it closes with `close`; what it was given stays.
    """

    def __init__(
        self,
        model: VLLMEngine | VLLMServer | Address | str,
        settings: Settings | None = None,
        *,
        lora: str | None = None,
        tokenizer: Any = None,
        **fields: Any,
    ) -> None:
        unknown = next((name for name in fields if name not in Settings.__slots__), None)
        if unknown is not None:
            raise ConfigError(unknown_name("setting of VLLMPolicy", unknown, Settings.__slots__))
        self.settings = replace(settings or Settings(), **fields)
        self._owned: list[Any] = []
        if isinstance(model, VLLMEngine):
            self.engine = model
        else:
            place = tokenizer if isinstance(tokenizer, str) else None
            self.engine = HTTPEngine(model, place, tokenizer=None if place else tokenizer)
            self._owned.append(self.engine)
        self.lora = lora
        self._adapter: Adapter | None = None
        self._loading = asyncio.Lock()

    def __repr__(self) -> str:
        lora = f", lora={self.lora!r}" if self.lora else ""
        return (
            f"VLLMPolicy({self.engine.name!r}{lora}, temperature={self.settings.temperature}, "
            f"top_p={self.settings.top_p}, max_new_tokens={self.settings.max_new_tokens})"
        )

    @property
    def identity(self) -> str:
        """The model with its version of weights, and how it samples."""
        settings = ",".join(f"{one.name}={getattr(self.settings, one.name)}" for one in fields(self.settings))
        lora = f",lora={self.lora}" if self.lora else ""
        return f"vllm:{self.engine.name}{lora},weights={self.weights_version},{settings}"

    @property
    def weights_version(self) -> int:
        """The version of the weights that the next turn meets, as far as this process knows."""
        if self.lora is not None:
            return self._adapter.version if self._adapter else 0
        return self.engine.weights_version

    @property
    def concurrency(self) -> int:
        """How many turns it wants to be answering at a time, at most."""
        return self.engine.concurrency

    @property
    def gives(self) -> frozenset[Given]:
        """Token ids, log-probs and counts."""
        return frozenset({"token_ids", "logprobs", "token_counts"})

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Return the reply to a turn; who is cancelled no longer uses the model.

        Args:
            turn: the turn.
            priority: the smaller, the sooner; passed on where the server schedules by it.

        Raises:
            PolicyUnavailableError: the engine is gone, or does not answer in time.
            PolicyError: it refuses the request, or the prompt cannot be laid out.
        """
        return await self.engine.loop.arun(self._reply(turn, priority))

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order; all are asked for at once.

        Raises:
            PolicyError: as `generate`.
        """
        return self.engine.loop.run(self._replies(turns))

    async def _replies(self, turns: Sequence[Turn]) -> list[Reply]:
        tasks = [asyncio.ensure_future(self._reply(turn, 0)) for turn in turns]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _reply(self, turn: Turn, priority: int) -> Reply:
        await self.engine.ready()
        request, cut = self.request(turn, priority)
        adapter = await self._ready_adapter()
        found = await self.engine.complete(replace(request, adapter=adapter))
        return self.reply(turn, request, found, cut)

    def request(self, turn: Turn, priority: int = 0) -> tuple[Request, int]:
        """Return what to ask for a turn, and how many tokens of its prompt were left out to fit the context."""
        settings = self.settings
        model = self.engine.context or UNBOUNDED
        context = min(model, settings.context or model)
        # At least half of the context is for the prompt, however long a reply may be.
        limit = max(context // 2, context - settings.max_new_tokens)
        prompt = fitted_prompt(self.engine.tokenizer, with_system(turn.messages, settings.system), limit=limit)
        room = min(settings.max_new_tokens, context - len(prompt.ids))
        return Request(prompt.ids, sampling_of(settings, turn.seed, room), priority), prompt.cut

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the model is asked with for a turn."""
        return self.request(turn)[0].prompt

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a reply of this text, the one that ends it included."""
        return reply_ids(self.engine.tokenizer, text)

    def reply(self, turn: Turn, request: Request, found: Completion, cut: int = 0) -> Reply:
        """Return the reply that a completion is."""
        settings = self.settings
        ended = found.finish_reason == "stop" and found.stop_reason is None
        ids = found.ids[:-1] if ended else found.ids
        text = self.engine.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = cut_at(text, settings.stop)
        kind = self.engine.logprobs_kind
        generation = Generation(
            request.prompt,
            found.ids,
            found.logprobs,
            found.finish_reason,
            found.version,
            # vLLM chooses a greedy token before it tempers or cuts anything.
            logprobs_kind="raw" if settings.temperature == 0 and kind == "sampled" else kind,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            weights_spans=found.spans if len(found.spans) > 1 else (),
            prompt_cut=cut,
        )
        return Reply(text, parent=named_parent(text) if turn.parent is None else None, generation=generation)

    async def _ready_adapter(self) -> Adapter | None:
        if self.lora is None or self._adapter is not None:
            return self._adapter
        async with self._loading:
            if self._adapter is None:
                self._adapter = await self.engine.load_adapter(self.lora, 0)
        return self._adapter

    def update_weights(self, path: str, version: int) -> None:
        """Make the policy use new weights: those of the base model, or of its adapter where it has one.

        All policies of an engine share the base model. Replies under way go on with new weights and tell so in
        `weights_spans`, where the server tells; replies of an adapter end with the version that they began with.

        Args:
            path: a checkpoint, or an adapter, in a folder that the server reads too.
            version: its number, at least 1; it goes into generations.

        Raises:
            PolicyError: they cannot be loaded; those from before answer again.
        """
        self.engine.loop.run(self._update(str(path), version))

    async def aupdate_weights(self, path: str, version: int) -> None:
        """`update_weights`, awaited."""
        await self.engine.loop.arun(self._update(str(path), version))

    async def _update(self, path: str, version: int) -> None:
        whole_number("version", version, least=1, where="update_weights")
        if self.lora is None:
            await self.engine.update_weights(path, version)
        else:
            await self._renew_adapter(path, version)

    @property
    def adapter(self) -> tuple[str, int] | None:
        """The folder and the version of the LoRA adapter that it acts with, if it has one."""
        if self.lora is None:
            return None
        return (self._adapter.path, self._adapter.version) if self._adapter else (str(self.lora), 0)

    def load_adapter(self, path: str, version: int) -> None:
        """Go on with a LoRA adapter, in the place of the one before or over the base model where there was none.

        Replies under way end with what they began with.

        Args:
            path: its folder, which the server reads too.
            version: its number; it goes into generations.

        Raises:
            PolicyError: it cannot be loaded, or the server takes none; nothing has changed.
        """
        whole_number("version", version, least=0, where="load_adapter")
        self.engine.loop.run(self._renew_adapter(str(path), version))

    async def _renew_adapter(self, path: str, version: int) -> None:
        async with self._loading:
            loaded = await self.engine.load_adapter(path, version)
            before, self._adapter, self.lora = self._adapter, loaded, path
        if before is not None:
            await self.engine.unload_adapter(before)

    def close(self) -> None:
        """Let go of what the policy made itself; more than once does no harm."""
        while self._owned:
            self._owned.pop().close()


def sampling_of(settings: Settings, seed: int, room: int) -> dict[str, Any]:
    """Return a request's settings by vLLM's names, every one said, so that no default of a server decides."""
    found: dict[str, Any] = {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": room,
        "seed": seed,
        "logprobs": 0,
        # Only a text that ends a reply needs the server to turn tokens into text.
        "detokenize": bool(settings.stop),
    }
    return found | ({"stop": list(settings.stop)} if settings.stop else {})


def cut_at(text: str, stops: Sequence[str]) -> str:
    """Return a text up to the first of the stops."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(found)] if found else text


@dataclass
class _Shared:
    """A server that specs share, with its engine and how many policies use it."""

    server: VLLMServer
    engine: HTTPEngine
    users: int = 0

    def close(self) -> None:
        """Count a policy less, and stop the server behind the last."""
        with _lock:
            self.users -= 1
            if self.users > 0:
                return
            for key in [key for key, shared in _shared.items() if shared is self]:
                del _shared[key]
        self.engine.close()
        self.server.close()


_shared: Final[dict[tuple[Any, ...], _Shared]] = {}
_lock: Final = Lock()


def shared_server(options: ServerOptions, python: str | None, **engine: Any) -> _Shared:
    """Return the server of a checkpoint and options, started at the first call and shared afterwards in this process.

    Raises:
        PolicyError: it cannot be started.
        ConfigError: there is no Python with vLLM.
    """
    key = (options, python, tuple(sorted(engine.items())))
    with _lock:
        if key not in _shared:
            server = VLLMServer(options, python=python).start()
            _shared[key] = _Shared(server, HTTPEngine(server, **engine))
        _shared[key].users += 1
        return _shared[key]


@atexit.register
def _stop_shared() -> None:
    for shared in list(_shared.values()):
        shared.engine.close()
        shared.server.close()


def check_sampling(rest: str, **options: Any) -> None:
    """Check what a spec says of how it is sampled; of the server nothing is asked.

    Raises:
        ConfigError: a value makes no sense.
    """
    Settings(**{one.name: options[one.name] for one in fields(Settings) if one.name in options})


@checked_by(check_sampling)
def from_spec(
    rest: str,
    *,
    problems: ProblemSet | None = None,
    temperature: float = 0.8,
    top_p: float = 0.95,
    top_k: int = 0,
    max_new_tokens: int = 384,
    context: int | None = None,
    stop: tuple[str, ...] = (),
    system: str = "",
    lora: str | None = None,
    timeout: float = 600.0,
    concurrency: int | None = None,
    inside: bool = False,
    kind: Literal["auto", "cpu", "gpu"] = "auto",
    dtype: str = "auto",
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_loras: int = 0,
    max_lora_rank: int = 16,
    tensor_parallel: int = 1,
    gpus: tuple[int, ...] = (),
    gpu_memory: float = 0.9,
    cache_gb: int = 1,
    cores: str = "",
    python: str | None = None,
) -> VLLMPolicy:
    """Build the policy of a spec `vllm:REST,key=value,...`.

    Args:
        rest: a checkpoint, a checkpoint and a server (`PATH@http://host:port/v1`, `PATH@unix:/path`), or
            `@http://host:port/v1` alone.
        problems: not used; a model needs no reference programs.
        temperature: this and the next six: `Settings`.
        top_p: see there.
        top_k: see there.
        max_new_tokens: see there.
        context: see there.
        stop: see there.
        system: see there.
        lora: the folder of an adapter.
        timeout: seconds that a request may take.
        concurrency: how many requests are under way at a time.
        inside: run the engine in this process, and no server.
        kind: this and the rest but the last: `ServerOptions`, of a server that is started.
        dtype: see there.
        max_model_len: see there.
        max_num_seqs: see there.
        max_loras: see there; as many as 4 where `lora` is given and nothing is said.
        max_lora_rank: see there.
        tensor_parallel: see there.
        gpus: see there.
        gpu_memory: see there.
        cache_gb: see there.
        cores: see there.
        python: the interpreter that has vLLM, of a server that is started.

    Raises:
        ConfigError: the rest is missing, an option makes no sense, or there is no Python with vLLM.
        PolicyError: the server cannot be started, or does not listen where it is said to run already, or there is no
            such checkpoint.
    """
    settings = Settings(temperature, top_p, top_k, max_new_tokens, context, stop, system)
    place, at, address = rest.partition("@")
    if not place and not address:
        raise ConfigError("vllm needs a model: vllm:smollm2, vllm:FOLDER, vllm:ORG/NAME or vllm:FOLDER@http://HOST.")
    options = ServerOptions(
        place or address,
        kind=kind,
        dtype=dtype,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_loras=max_loras or (4 if lora and not at else 0),
        max_lora_rank=max_lora_rank,
        tensor_parallel=tensor_parallel,
        gpus=gpus,
        gpu_memory=gpu_memory,
        cache_gb=cache_gb,
        cores=cores,
    )
    if at:
        if inside or python or options != ServerOptions(place or address):
            raise ConfigError(f"vllm:{rest}: a server that runs already takes no options of how it is run.")
        if not listens(address_of(address)):
            raise PolicyUnavailableError(
                f"vllm:{rest:.200}: nothing listens at {address}. Start the server, or mend the address."
            )
        engine = HTTPEngine(address, place or None, concurrency=concurrency, timeout=timeout)
        return _owning(VLLMPolicy(engine, settings, lora=lora), engine)
    checkpoint_of(place)  # so that a slip is known at once
    if inside:
        own = InsideEngine(options, concurrency=concurrency, timeout=timeout)
        return _owning(VLLMPolicy(own, settings, lora=lora), own)
    shared = shared_server(options, python, concurrency=concurrency, timeout=timeout)
    return _owning(VLLMPolicy(shared.engine, settings, lora=lora), shared)


def _owning(policy: VLLMPolicy, what: Any) -> VLLMPolicy:
    policy._owned.append(what)
    return policy
