"""A vLLM server asked over HTTP or a Unix socket: one that runs somewhere, or one that this process runs.

Prompts go as token ids, one to a request (several would share one seed), and come back as token ids with log-probs,
through `/inference/v1/generate` where the server has it (it tells which weights wrote which token), else through
`/v1/completions`. What the server is like is found out by one request of one token, not assumed: which route it has,
whether it schedules by priority, and of which distribution its log-probs are. Every sampling setting is said, so that
defaults of the server, or of the checkpoint's `generation_config.json`, decide nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from mars2_agents.policies import vllm_worker
from mars2_agents.policies.vllm_engine import Adapter, Completion, Request, VLLMEngine, spans_of
from mars2_agents.policies.vllm_server import Address, VLLMServer, address_of, checkpoint_of, mended
from mars2_agents.policies.vllm_transfer import NCCLTransfer
from mars2_env.base.extras import needed_by
from mars2_env.errors import PolicyError, PolicyUnavailableError
from mars2_env.types import LogprobsKind

T = TypeVar("T")

API_KEY: Final = "VLLM_API_KEY"
PAUSES: Final = (0.25, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try of a request that was dropped."""

GENERATE: Final = "/inference/v1/generate"
COMPLETIONS: Final = "/v1/completions"
GONE: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses of a server that is overloaded, dying or not up yet."""


class Dropped(Exception):  # noqa: N818 - what happened, inside this module
    """The connection broke, or the server was going down; another try may do."""


class HTTPEngine(VLLMEngine):
    """A server.

    Args:
        server: its address, as text or `Address`, or one that this process runs.
        checkpoint: the folder whose tokenizer it takes; else that of the server's own checkpoint.
        tokenizer: a transformers tokenizer, if it is there already.
        concurrency: how many requests are under way at a time; twice the server's seats where that is known, else 64.
        timeout: seconds that a request may take.
        pauses: seconds before each further try of a request whose connection was dropped.
        api_key: sent along; else `$VLLM_API_KEY`.
        transfer: how new weights get to the server, where it is not to read them from its disk.
        wait: what waits; for tests.
    """

    def __init__(
        self,
        server: str | Address | VLLMServer,
        checkpoint: str | None = None,
        *,
        tokenizer: Any = None,
        concurrency: int | None = None,
        timeout: float = 600.0,
        pauses: tuple[float, ...] = PAUSES,
        api_key: str | None = None,
        transfer: NCCLTransfer | None = None,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        with needed_by("vllm"):
            import httpx2  # noqa: F401
        self.server = server if isinstance(server, VLLMServer) else None
        self._address = None if isinstance(server, VLLMServer) else server
        if isinstance(server, VLLMServer):
            name = server.options.model
            place: str | None = checkpoint or name
            seats = 2 * server.options.seats
        else:
            self._address = address_of(server) if isinstance(server, str) else server
            name, place, seats = checkpoint or str(self._address), checkpoint, 64
        super().__init__(
            name,
            checkpoint_of(place) if place is not None and tokenizer is None else place,
            tokenizer=tokenizer,
            concurrency=concurrency or seats,
            timeout=timeout,
        )
        self._pauses = pauses
        self._key = api_key or os.environ.get(API_KEY, "")
        self._transfer = transfer
        self._wait = wait
        self._client: Any = None
        self._known = False
        self._base = ""
        self._route = GENERATE
        self._by_priority = True
        self._start = -1

    async def ready(self) -> None:
        """Start the server again where it has died, and put back what it had; find out what it is like."""
        if self._known and (self.server is None or (self.server.alive and self._current)):
            return
        async with self._readying:
            if self.server is not None:
                await asyncio.to_thread(self.server.ensure)
            if self._known and self._current:
                return
            await self._disconnect()
            await self._connect()
            try:
                await self._find_out()
                await self._put_back()
                self._known = True
            except BaseException:
                await self._disconnect()
                raise

    @property
    def _current(self) -> bool:
        return self.server is None or self._start == self.server.starts

    async def _connect(self) -> None:
        import httpx2

        address = self.server.address if self.server is not None else self._address
        assert isinstance(address, Address)
        self._start = -1 if self.server is None else self.server.starts
        # The whole of a request is timed by `complete`; a server says nothing until a reply is there.
        self._client = httpx2.AsyncClient(
            transport=httpx2.AsyncHTTPTransport(
                uds=address.socket, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None)
            ),
            base_url=address.url,
            timeout=httpx2.Timeout(None, connect=10.0),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else None,
        )

    async def _disconnect(self) -> None:
        client, self._client, self._known = self._client, None, False
        if client is not None:
            await client.aclose()
        if self._transfer is not None:
            await asyncio.to_thread(self._transfer.forget)

    async def _find_out(self) -> None:
        """Ask which model the server has, and by one token what it is like."""
        status, body = await self._trying(lambda: self._send("GET", "/v1/models"))
        if status != 200 or not isinstance(body, dict) or not body.get("data"):
            raise PolicyError(f"{self.name}: /v1/models returned status {status}: {said_by(body)}")
        models = body["data"]
        base = next((model for model in models if not model.get("parent")), models[0])
        self._base = base["id"]
        self.context = int(base.get("max_model_len") or 0) or 10**9
        if self._checkpoint is None and self._tokenizer is None and os.path.isdir(str(base.get("root"))):
            self._checkpoint = str(base["root"])
        # One token of which only the likeliest is kept: its log-prob is 0 after top-k, and below before.
        self._route, self._by_priority = GENERATE, True
        logprob = await self._trying(self._probe)
        self.tells_spans = self._route == GENERATE
        self.logprobs_kind = kind_of_logprobs(logprob)
        if self.server is not None and self.server.options.max_loras:
            await self._mend(vllm_worker.Mends.mars2_part_adapters)

    async def _probe(self) -> float:
        probe = Request((1,), PROBE, priority=1)
        while True:
            status, body = await self._post(self._route, self._body(probe, self._salt))
            if status in (403, 404, 405) and self._route == GENERATE:
                self._route = COMPLETIONS
            elif status == 400 and self._by_priority:
                self._by_priority = False
            else:
                return self._completion(status, body).logprobs[0]

    async def _put_back(self) -> None:
        """Give a server that was started again the weights and adapters that it had."""
        if self._weights is not None:
            self._open.clear()
            try:
                await self._exchange(self._weights, self.weights_version)
            finally:
                self._open.set()
        elif self._start > 1:  # a server that was started again has the checkpoint's own
            self._spoilt = ""
        for loaded in list(self._adapters.values()):
            await self._load(loaded.adapter)

    async def _ask(self, request: Request, salt: str) -> Completion:
        async def once() -> Completion:
            async with self._in_time():
                status, body = await self._post(self._route, self._body(request, salt))
            return self._completion(status, body)

        return await self._trying(once, between=self.ready)

    async def _trying(
        self, once: Callable[[], Awaitable[T]], *, between: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """Return what an attempt returns, making further ones where the connection was dropped.

        Raises:
            PolicyUnavailableError: it was dropped every time.
        """
        for pause in self._pauses:
            try:
                return await once()
            except Dropped:
                await self._wait(pause)
                if between is not None:
                    await between()
        try:
            return await once()
        except Dropped as error:
            raise PolicyUnavailableError(f"{self.name} does not answer: {error}") from error

    def _body(self, request: Request, salt: str) -> dict[str, Any]:
        model = request.adapter.name if request.adapter else self._base
        body: dict[str, Any] = {"model": model, "cache_salt": salt}
        if self._by_priority:
            body["priority"] = request.priority
        if self._route == GENERATE:
            return body | {"token_ids": request.prompt, "sampling_params": request.sampling}
        sampling = {name: value for name, value in request.sampling.items() if name != "detokenize"}
        return body | {"prompt": request.prompt, "return_token_ids": True, **sampling}

    def _completion(self, status: int, body: Any) -> Completion:
        """Return what a reply's body says.

        Raises:
            Dropped: the server was going down.
            PolicyError: the request was refused, or this is no vLLM server.
        """
        if status != 200:
            raise PolicyError(f"{self.name}: the server refused a request ({status}): {said_by(body)}")
        try:
            choice = body["choices"][0]
            if choice["finish_reason"] not in ("stop", "length"):
                raise Dropped(f"a request ended with {choice['finish_reason']!r}")
            told = choice["logprobs"]
            if self._route == GENERATE:
                logprobs = tuple(one["logprob"] for one in told["content"])
            else:
                logprobs = tuple(told["token_logprobs"])
            spans = [(one["version"], one["start"]) for one in choice.get("weight_versions") or ()]
            ids = tuple(choice["token_ids"])
            return Completion(ids, logprobs, choice["finish_reason"], choice.get("stop_reason"), spans_of(spans))
        except (KeyError, IndexError, TypeError) as error:
            raise PolicyError(
                f"{self.name}: {str(body)[:200]} is not what vLLM's {self._route} returns ({error!r}); version 0.32 or "
                "above is needed."
            ) from error

    async def _post(self, route: str, body: Mapping[str, Any] | None = None, **params: str) -> tuple[int, Any]:
        return await self._send("POST", route, body, params)

    async def _send(self, method: str, route: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        """Return status and body of one exchange.

        Raises:
            Dropped: the connection broke, or the server is going down.
        """
        import httpx2

        client = self._client
        if client is None:
            raise Dropped("not connected")
        try:
            found = await client.request(method, route, json=body, params=params)
        except (httpx2.TransportError, RuntimeError) as error:  # a RuntimeError says that the client was closed
            raise Dropped(f"{type(error).__name__}: {error}") from error
        try:
            content = found.json() if found.content else None
        except ValueError:
            content = found.text
        if found.status_code in GONE:
            raise Dropped(f"status {found.status_code}: {said_by(content)}")
        return found.status_code, content

    async def _control(self, route: str, body: Mapping[str, Any] | None = None, **params: str) -> None:
        try:
            status, found = await self._post(route, body, **params)
        except Dropped as error:
            raise PolicyUnavailableError(f"{self.name}: {route} failed: {error}") from error
        if status == 404 and not route.startswith("/v1"):
            raise PolicyError(
                f"{self.name} has no route {route}: start it with VLLM_SERVER_DEV_MODE=1 where its weights are to be "
                "changed, and let nobody else reach it."
            )
        if status != 200:
            raise PolicyError(f"{self.name}: {route} returned status {status}: {said_by(found)}")

    async def _pause(self, mode: str) -> None:
        await self._control("/pause", mode=mode)

    async def _reload(self, path: str) -> None:
        try:
            if self._transfer is not None:
                await self._sent(self._transfer, path)
                return
            await self._control("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": path}})
            await self._mend(vllm_worker.Mends.mars2_repack)
        except PolicyUnavailableError as error:  # vLLM answers 500 to weights that it cannot read, and lives on
            if self.server is not None and not self.server.alive:
                raise
            raise PolicyError(str(error)) from error

    async def _mend(self, how: Callable[..., None]) -> None:
        """Have the workers do a thing of our extension, where they were given it."""
        if self.server is not None and mended(self.server.options):
            await self._control("/collective_rpc", {"method": how.__name__})

    async def _sent(self, transfer: NCCLTransfer, path: str) -> None:
        """Send the tensors of a checkpoint; what the transfer asks of the server goes over this connection."""
        status, found = await self._send("GET", "/get_world_size")
        if status != 200:
            raise PolicyError(f"{self.name}: /get_world_size returned status {status}: {said_by(found)}")
        loop = asyncio.get_running_loop()

        def post(route: str, body: Mapping[str, Any] | None) -> None:
            asyncio.run_coroutine_threadsafe(self._control(route, body), loop).result()

        await asyncio.to_thread(transfer.send, path, post, int(found["world_size"]))

    async def _label(self, version: str) -> None:
        await self._control("/update_weight_version", {"new_version": version})

    async def _resume(self) -> None:
        await self._control("/resume")

    async def _load(self, adapter: Adapter) -> None:
        try:
            await self._control("/v1/load_lora_adapter", {"lora_name": adapter.name, "lora_path": adapter.path})
        except PolicyError as error:
            raise PolicyError(
                f"the adapter {adapter.path} cannot be loaded: {error} A server takes adapters if started with "
                "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 (VLLMServer: max_loras=...)."
            ) from error

    async def _unload(self, adapter: Adapter) -> None:
        await self._control("/v1/unload_lora_adapter", {"lora_name": adapter.name})

    async def _shut(self) -> None:
        await self._disconnect()


PROBE: Final = {"max_tokens": 1, "temperature": 2.0, "top_k": 1, "top_p": 1.0, "seed": 0, "logprobs": 0}


def kind_of_logprobs(of_only_choice: float) -> LogprobsKind | None:
    """Return of which distribution log-probs are, by that of a token that was the only one kept."""
    if of_only_choice == 0:
        return "sampled"
    return "raw" if of_only_choice < 0 else None


def said_by(body: Any) -> str:
    """Return the message of an error's body, cut short."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:500]
