"""A server that speaks OpenAI's chat protocol over real HTTP and answers from a script; there is no model behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """What the server says to a request: JSON, or bytes as they are; `drop` breaks the connection off in the middle.

    `hang` waits until the client is gone, and never answers.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False


def chat(text: str | None, *, finish: str = "stop", usage: Any = (10, 5), **message: Any) -> Said:
    """An answer of the chat protocol."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "model": "toy", "choices": [choice]}
    if isinstance(usage, tuple):
        usage = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return Said(body | ({"usage": usage} if usage is not None else {}))


def error(status: int, message: str, *, headers: dict[str, str] | None = None, **more: Any) -> Said:
    """A refusal, as OpenAI words it."""
    return Said({"error": {"message": message, **more}}, status, headers or {})


Script = Callable[[dict[str, Any]], Said]


class ChatServer:
    """Serves on a port of its own until it is closed.

    `requests` are the bodies in the order of arrival, `headers` what came with them, `most` how many were being
    answered at once at most; `gone` is set when a client hangs up on an answer that never comes.
    """

    def __init__(self, script: Script | list[Said]) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.most = self._open = 0
        self.asked, self.gone = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._script = script if callable(script) else _in_order(script)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer._lock:
                    outer.requests.append(body)
                    outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                    outer.paths.append(self.path)
                    outer._open += 1
                    outer.most = max(outer.most, outer._open)
                outer.asked.set()
                try:
                    outer._say(self, outer._script(body))
                finally:
                    with outer._lock:
                        outer._open -= 1

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def _say(self, handler: BaseHTTPRequestHandler, said: Said) -> None:
        if said.hang:
            while handler.connection.recv(1):
                pass
            self.gone.set()
            handler.close_connection = True
            return
        data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        handler.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2] if said.drop else data)
        handler.close_connection = said.drop

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> ChatServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _in_order(says: list[Said]) -> Script:
    left = iter(says)
    return lambda body: next(left)
