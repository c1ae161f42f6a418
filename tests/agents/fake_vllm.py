"""A small real HTTP server that speaks as much of vLLM's protocol as `VLLMPolicy` uses; it computes nothing.

A reply is a function of the prompt, the seed, the model's name and the label of the weights. As a script it stands in
for `python -m vllm.entrypoints.openai.api_server` and takes that command's `--uds` or `--host` and `--port`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import pairwise
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

EOS = 2


def tokens(prompt: list[int], seed: int, model: str, label: str, most: int) -> list[int]:
    """Up to six tokens of a vocabulary of 320, the ending one behind them where there is room."""
    found = sha256(json.dumps([prompt, seed, model, label]).encode()).digest()
    return [3 + byte for byte in found[:6]][:most] + ([EOS] if most > 6 else [])


class FakeVLLM:
    """The server's state, what it was asked (`calls`), and what is to go wrong (`faults`, taken by generations).

    A fault is "drop" (the connection breaks), "abort", "hang" (until the client is gone) or a status.
    """

    def __init__(
        self, *, scale_out: bool = True, priority: bool = True, processed: bool = True, control: bool = True
    ) -> None:
        self.scale_out, self.priority, self.processed, self.control = scale_out, priority, processed, control
        self.calls: list[tuple[str, Any]] = []
        self.faults: deque[str | int] = deque()
        self.seen: Counter[str] = Counter()
        self.running = 0
        self.most_running = 0
        self.label = "default"
        self.loras: dict[str, str] = {}
        self.bad_weights: set[str] = set()
        self.bad_routes: set[str] = set()
        self.hanging = Event()
        self.gone = Event()
        self.hold_reload: Event | None = None
        self.reloading = Event()
        self.barrier = 0
        self._waiting: list[asyncio.Future[None]] = []
        self.url = ""

    @property
    def generations(self) -> list[dict[str, Any]]:
        """The bodies of the requests for tokens, the probe's left out."""
        return [body for route, body in self.calls if route in ROUTES and sampling(body)["top_k"] != 1]

    @property
    def routes(self) -> list[str]:
        return [route for route, _ in self.calls]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readline():
                method, target, _ = head.decode().split()
                size = 0
                while (line := (await reader.readline()).strip().lower()) != b"":
                    if line.startswith(b"content-length:"):
                        size = int(line.partition(b":")[2])
                sent = json.loads(await reader.readexactly(size)) if size else None
                url = urlsplit(target)
                self.calls.append((url.path, sent if sent is not None else parse_qs(url.query)))
                status, body = await self.answer(method, url.path, sent, reader)
                if status == 0:
                    break
                content = json.dumps(body).encode()
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def answer(self, method: str, route: str, body: Any, reader: asyncio.StreamReader) -> tuple[int, Any]:
        if route == "/health":
            return 200, {}
        if route == "/v1/models":
            return 200, {"data": [{"id": "base", "root": "/nowhere", "max_model_len": 256}]}
        if route in ROUTES:
            return await self.generate(route, body, reader)
        if not self.control:
            return 404, {"detail": "Not Found"}
        if route == "/get_world_size":
            return 200, {"world_size": 2}
        if route in TRANSFER:
            return (400, {"error": {"message": "no weight transfer"}}) if route in self.bad_routes else (200, {})
        if route == "/collective_rpc":
            self.reloading.set()
            if self.hold_reload is not None:
                await asyncio.to_thread(self.hold_reload.wait)
            if body.get("kwargs", {}).get("weights_path") in self.bad_weights:
                return 500, {"error": {"message": "no such weights"}}
        elif route == "/update_weight_version":
            self.label = body["new_version"]
        elif route == "/v1/load_lora_adapter":
            if body["lora_path"] in self.bad_weights:
                return 400, {"error": {"message": "no such adapter"}}
            self.loras[body["lora_name"]] = body["lora_path"]
        elif route == "/v1/unload_lora_adapter":
            del self.loras[body["lora_name"]]
        elif route not in ("/pause", "/resume"):
            return 404, {"detail": "Not Found"}
        return 200, {}

    async def generate(self, route: str, body: Any, reader: asyncio.StreamReader) -> tuple[int, Any]:
        if route == GENERATE and not self.scale_out:
            return 403, {"error": {"message": "Scale-out endpoints are disabled."}}
        if body.get("priority") and not self.priority:
            return 400, {"error": {"message": "Got priority 1 but priority scheduling is not enabled."}}
        if body["model"] not in ("base", *self.loras):
            return 404, {"error": {"message": f"The model {body['model']} does not exist."}}
        wanted = sampling(body)
        if wanted["max_tokens"] == 1 and wanted["top_k"] == 1:
            return 200, self.body(route, [5], [0.0 if self.processed else -0.7], "length")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            fault = self.faults.popleft() if self.faults else None
            if fault == "hang":
                self.hanging.set()
                await reader.read(1)
                self.gone.set()
                return 0, None
            if fault == "drop":
                return 0, None
            if isinstance(fault, int):
                return fault, {"error": {"message": "a fault"}}
            await self.together()
        finally:
            self.running -= 1
        prompt = body["token_ids"] if route == GENERATE else body["prompt"]
        ids = tokens(prompt, wanted["seed"], self.loras.get(body["model"], "base"), self.label, wanted["max_tokens"])
        logprobs = [-0.5 * (place + 1) for place in range(len(ids))]
        reason = "abort" if fault == "abort" else "stop" if ids[-1] == EOS else "length"
        return 200, self.body(route, ids, logprobs, reason)

    async def together(self) -> None:
        """Wait until `barrier` requests are here."""
        if len(self._waiting) + 1 < self.barrier:
            self._waiting.append(asyncio.get_running_loop().create_future())
            await self._waiting[-1]
        for one in self._waiting:
            one.done() or one.set_result(None)

    def body(self, route: str, ids: list[int], logprobs: list[float], reason: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"token_ids": ids, "finish_reason": reason, "stop_reason": None}
        if route == GENERATE:
            half = len(ids) // 2
            spans = [{"version": self.label, "start": 0, "end": len(ids)}]
            if self.label.startswith("2to3"):
                spans = [{"version": "2", "start": 0, "end": half}, {"version": "3", "start": half, "end": len(ids)}]
            content = [{"token_id": id, "logprob": one} for id, one in zip(ids, logprobs, strict=True)]
            return {"choices": [choice | {"logprobs": {"content": content}, "weight_versions": spans}]}
        return {"choices": [choice | {"logprobs": {"token_logprobs": logprobs}, "text": ""}]}


GENERATE = "/inference/v1/generate"
ROUTES = (GENERATE, "/v1/completions")
TRANSFER = (
    "/init_weight_transfer_engine", "/start_weight_update", "/update_weights", "/finish_weight_update",
    "/shutdown_weight_transfer_engine",
)  # fmt: skip


def sampling(body: Any) -> Any:
    """The settings in a request for tokens."""
    return body.get("sampling_params", body)


@contextmanager
def running(fake: FakeVLLM) -> Iterator[FakeVLLM]:
    """Serve on a free port, in a thread, inside the block."""
    loop = asyncio.new_event_loop()
    up = Event()

    async def start() -> Any:
        return await asyncio.start_server(fake.serve, "127.0.0.1", 0)

    server = loop.run_until_complete(start())
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    def run() -> None:
        up.set()
        loop.run_forever()

    thread = Thread(target=run)
    thread.start()
    up.wait()
    try:
        yield fake
    finally:

        async def stop() -> None:
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def script(words: list[str]) -> None:
    """Serve as the command line says. `$FAKE_CHILD` names a file for the process id of a child that outlives TERM."""
    options = dict(pairwise(words))
    if os.environ.get("FAKE_DIES"):
        print("out of memory, say", flush=True)
        raise SystemExit(3)
    if note := os.environ.get("FAKE_NOTE"):
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "import signal, time; signal.signal(15, 1); print(flush=True); time.sleep(600)",
            stdout=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert child.stdout is not None
        await child.stdout.readline()
        with open(note, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {child.pid} {os.environ.get('VLLM_SERVER_DEV_MODE')}\n")
    fake = FakeVLLM()
    if "--uds" in options:
        server = await asyncio.start_unix_server(fake.serve, options["--uds"])
    else:
        server = await asyncio.start_server(fake.serve, options["--host"], int(options["--port"]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(script(sys.argv[1:]))
