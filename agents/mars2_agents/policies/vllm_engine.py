"""What a policy asks of vLLM, however it runs: a request, a completion, new weights, adapters.

`VLLMEngine` holds what is the same for servers and for an engine inside this process: the prompt's tokenizer, how many
requests are under way, which weights answer, the order in which they are exchanged. What differs (`_ask`, `_load`, ...)
is a few lines in `vllm_http` and `vllm_inside`.
"""

from __future__ import annotations

import asyncio
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from mars2_agents.policies.private_loop import PrivateLoop
from mars2_agents.policies.smollm2 import offline
from mars2_env.base.extras import needed_by
from mars2_env.errors import PolicyError, PolicyUnavailableError
from mars2_env.types import LogprobsKind

REQUEST_SECONDS: Final = 600.0
Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter as an engine knows it; each version has a name of its own."""

    name: str
    path: str
    version: int
    number: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: token ids, settings by vLLM's names, how urgent, with which adapter."""

    prompt: tuple[int, ...]
    sampling: Mapping[str, Any]
    priority: int = 0
    adapter: Adapter | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back; `spans` are (version, first token), () where the engine does not tell them."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: str
    stop_reason: int | str | None = None
    spans: Spans = ()
    version: int = 0


def spans_of(given: Sequence[tuple[str, int]] | None) -> Spans:
    """Return vLLM's spans, (label, first token), with versions as numbers; a label that is none is version 0."""
    spans: list[tuple[int, int]] = []
    for label, first in given or ():
        version = int(label) if label.isdecimal() else 0
        if not spans or spans[-1][0] != version:
            spans.append((version, first))
    return tuple(spans)


class VLLMEngine(ABC):
    """A vLLM, in this process or behind a server; shared by all policies over one base model.

    Args:
        name: what messages and identities call it.
        checkpoint: the folder (or hub name) whose tokenizer it takes.
        tokenizer: a transformers tokenizer, if it is there already.
        concurrency: how many requests it is given at a time.
        timeout: seconds that a request may take.

    Everything runs on one event loop in a thread of its own, whoever calls.
    """

    def __init__(
        self,
        name: str,
        checkpoint: str | None,
        *,
        tokenizer: Any = None,
        concurrency: int = 64,
        timeout: float = REQUEST_SECONDS,
    ) -> None:
        self.name = name
        self.concurrency = concurrency
        self.timeout = timeout
        self.context = 0
        self.weights_version = 0
        self.logprobs_kind: LogprobsKind | None = "sampled"
        self.tells_spans = True
        self.loop = PrivateLoop(f"vllm {name}", reopens=False)
        self._checkpoint = checkpoint
        self._tokenizer = tokenizer
        self._weights: str | None = None
        self._spoilt = ""
        self._salt = secrets.token_hex(16)
        self._adapters: dict[str, _Loaded] = {}
        self._numbers = 0
        self._seats = asyncio.Semaphore(concurrency)
        self._open = asyncio.Event()
        self._open.set()
        self._changing = asyncio.Lock()
        self._readying = asyncio.Lock()

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, loaded when first asked for.

        Raises:
            PolicyError: there is none where the checkpoint is said to be.
        """
        if self._tokenizer is None:
            if self._checkpoint is None:
                raise PolicyError(f"{self.name}: which tokenizer? Name the checkpoint: vllm:CHECKPOINT@{self.name}.")
            self._tokenizer = load_tokenizer(self._checkpoint)
        return self._tokenizer

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request; who is cancelled no longer uses the model.

        Raises:
            PolicyUnavailableError: the engine is gone, or does not answer in time.
            PolicyError: it refuses the request.
        """
        with self._using(request.adapter):  # from here on: it is not to go while the request waits for its seat
            async with self._seats:
                await self.ready()
                await self._open.wait()
                if self._spoilt:
                    raise PolicyUnavailableError(f"{self.name} has no whole weights any more: {self._spoilt}")
                version = self.weights_version
                found = await self._ask(request, self._salt)
        await self._unload_unused()
        if found.spans and version == self.weights_version != found.spans[-1][0]:
            # Somebody else has loaded weights: what is cached of the old ones is not to be used.
            self.weights_version, self._salt = found.spans[-1][0], secrets.token_hex(16)
        spans = found.spans or ((version, 0),)
        if request.adapter is not None:
            spans = ((request.adapter.version, 0),)
        return Completion(found.ids, found.logprobs, found.finish_reason, found.stop_reason, spans, spans[0][0])

    @property
    def weights(self) -> str | None:
        """The folder of the weights that `update_weights` last loaded; None before."""
        return self._weights

    async def update_weights(self, path: str, version: int) -> None:
        """Make every later token come from the weights in a folder, and label it with their version.

        Requests under way wait and go on with the new weights where the engine tells which token came from which, and
        are waited for where it does not. What comes meanwhile waits. A new salt keeps what is cached of old weights
        from new requests.

        Raises:
            PolicyError: they cannot be loaded; those from before answer again.
            PolicyUnavailableError: the engine is gone.
        """
        async with self._changing:
            await self.ready()
            await self._exchange(path, version)

    async def _exchange(self, path: str, version: int) -> None:
        self._open.clear()
        try:
            await self._pause("keep" if self.tells_spans else "wait")
            try:
                try:
                    await self._reload(path)
                except PolicyUnavailableError:
                    raise
                except PolicyError:
                    await self._restore()  # half of them may be loaded already
                    raise
                await self._label(str(version))
                self._spoilt = ""
                self._weights, self.weights_version = path, version
                self._salt = secrets.token_hex(16)
            finally:
                await self._resume()
        finally:
            self._open.set()

    async def _restore(self) -> None:
        """Load the weights from before again; where that fails too, nobody knows what the engine has, and it says so.

        Raises:
            PolicyError: they cannot be loaded.
        """
        before = self._weights or self._checkpoint
        if before is None:
            return
        try:
            await self._reload(str(before))
        except PolicyError as error:
            self._spoilt = str(error)
            raise

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        """Bound what a request waits for in the block.

        Raises:
            PolicyUnavailableError: it took longer than `timeout`.
        """
        try:
            async with asyncio.timeout(self.timeout):
                yield
        except TimeoutError:
            raise PolicyUnavailableError(f"{self.name} did not answer in {self.timeout:g} s.") from None

    async def load_adapter(self, path: str, version: int) -> Adapter:
        """Load a LoRA adapter under a name that none had before, and return it.

        Raises:
            PolicyError: it cannot be loaded, or the engine takes none.
        """
        await self.ready()
        self._numbers += 1
        stem = sha256(str(Path(path)).encode()).hexdigest()[:6]
        # Another process may load adapters into the same server: the nonce keeps theirs and ours apart.
        name = f"mars2-{stem}-v{version}-{secrets.token_hex(4)}"
        adapter = Adapter(name, str(path), version, self._numbers)
        await self._load(adapter)
        self._adapters[name] = _Loaded(adapter)
        return adapter

    async def unload_adapter(self, adapter: Adapter) -> None:
        """Let go of an adapter as soon as no request uses it."""
        if loaded := self._adapters.get(adapter.name):
            loaded.wanted = False
            await self._unload_unused()

    async def _unload_unused(self) -> None:
        for name, loaded in list(self._adapters.items()):
            if not loaded.wanted and not loaded.users:
                del self._adapters[name]
                await self._unload(loaded.adapter)

    def _using(self, adapter: Adapter | None) -> _Loaded:
        if adapter is None:
            return _Loaded(None)
        if adapter.name not in self._adapters:
            raise PolicyError(f"{self.name}: the adapter {adapter.name} is loaded no more.")
        return self._adapters[adapter.name]

    def close(self) -> None:
        """Let go of connections, or of the engine itself; more than once does no harm."""
        try:
            self.loop.run(self._shut())
        except PolicyError:
            return
        self.loop.close()

    @abstractmethod
    async def ready(self) -> None:
        """Make sure that requests will be answered; called before each, and quick where nothing has changed."""

    @abstractmethod
    async def _ask(self, request: Request, salt: str) -> Completion:
        """Have one request answered; `spans` as the engine tells them."""

    @abstractmethod
    async def _pause(self, mode: str) -> None: ...

    @abstractmethod
    async def _reload(self, path: str) -> None: ...

    @abstractmethod
    async def _label(self, version: str) -> None: ...

    @abstractmethod
    async def _resume(self) -> None: ...

    @abstractmethod
    async def _load(self, adapter: Adapter) -> None: ...

    @abstractmethod
    async def _unload(self, adapter: Adapter) -> None: ...

    @abstractmethod
    async def _shut(self) -> None: ...


@dataclass
class _Loaded:
    """An adapter that is loaded, and how many requests use it."""

    adapter: Any
    wanted: bool = True
    users: int = field(default=0)

    def __enter__(self) -> None:
        self.users += 1

    def __exit__(self, *_: object) -> None:
        self.users -= 1


def load_tokenizer(place: str) -> Any:
    """Return the tokenizer of a checkpoint.

    Raises:
        ExtraError: transformers is missing.
        PolicyError: it cannot be loaded.
    """
    with needed_by("vllm"):
        from transformers import AutoTokenizer
    try:
        if Path(place).is_dir():
            with offline():
                return AutoTokenizer.from_pretrained(place, local_files_only=True)
        return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise PolicyError(f"vllm: the tokenizer of {place} cannot be loaded: {reason}") from error
