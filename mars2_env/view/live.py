"""Runs as they go on, served to browsers of this machine and to nobody else.

The server listens on the loopback address alone. Whoever asks has to know the token in the address, which is drawn
anew each time; requests under another host's name (DNS that was bound anew) or from another site's page are refused.
It reads logs, and writes nothing. What it sends are server-sent events: of the list of trees, and of one tree the
records of its log, each under the byte of the log up to which it tells, so that a connection that was lost goes on
where it stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, RLock
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from mars2_env.errors import ConfigError, LogError
from mars2_env.log import Header
from mars2_env.view.page import html, index_of, json_block, names_of, policy, run_record, title_of
from mars2_env.view.records import Record, Records, trace_of
from mars2_env.view.runs import Run, first_header, head_of, open_run
from mars2_env.view.tail import Tail

ADDRESS: Final = "127.0.0.1"
EVERY: Final = 0.25
"""Seconds between two looks at the logs."""
QUIET: Final = 15.0
"""Seconds after which a connection that has nothing to say says so, and finds out whether anybody listens."""


@dataclass
class Told:
    """What a connection was told of a tree besides its records: the turns whose cost, and what cannot be told."""

    turns: set[int] = field(default_factory=set)
    trouble: dict[str, str] = field(default_factory=dict)


class LiveRun:
    """One run as it goes on: the list of its trees, and those that were opened. Safe to use from several threads."""

    def __init__(self, run: Run) -> None:
        """Begin with what there is."""
        self.run = run
        self._begun = bool(run.logs())
        self._lines: dict[str, Record] = {}
        self._tails: dict[str, Tail] = {}
        self._opened: dict[str, Tail] = {}
        self._lock = RLock()

    def _tail(self, path: Path, *, brief: bool) -> Tail:
        def begin(header: Header) -> Records:
            return self.run.records(header, brief=brief)

        return Tail(path, begin)

    def lines(self) -> list[Record]:
        """Return the lines of the list of trees, as they stand: the same objects where nothing has changed."""
        with self._lock:
            logs = self.run.logs()
            if logs and not self._begun:
                self.run, self._begun = open_run(self.run.place, hidden=self.run.hidden is not None), True
            found = []
            for path in logs:
                tail = self._tails.setdefault(path.name, self._tail(path, brief=True))
                if tail.poll() and (line := tail.summary()) is not None:
                    self._lines[path.name] = line
                if path.name in self._lines:
                    found.append(self._lines[path.name])
            return found

    def about(self) -> Record:
        """Return what is known of the run as a whole, but for its name, which the page has."""
        about = self.run.about(first_header(self.run))
        del about["name"]
        return about

    def opened(self, log: str) -> Tail:
        """Return a tree of the run, by the name of its log, read as far as it is written.

        Raises:
            LogError: the run has no such log.
        """
        with self._lock:
            path = next((path for path in self.run.logs() if path.name == log), None)
            if path is None:
                raise LogError(f"{self.run.place} has no log {log!r:.200}.")
            tail = self._opened.setdefault(log, self._tail(path, brief=False))
            tail.poll()
            return tail

    def head(self, tail: Tail) -> Record | None:
        """Return what is known of a tree before its first event; None as long as that is nothing."""
        return None if tail.header is None else head_of(self.run, tail.header)

    def more(self, tail: Tail, byte: int, told: Told) -> tuple[int, Record] | None:
        """Return what a tree has to tell behind a byte of its log, and up to which byte that is; None if nothing.

        Args:
            tail: the tree.
            byte: of its log.
            told: what was told besides; what is told now is added.
        """
        with self._lock:
            tail.poll()
            records = tail.after(byte)
            new = {turn: trace for turn, trace in tail.traces.items() if turn not in told.turns}
            if not records and not new and tail.trouble == told.trouble:
                return None
            told.turns.update(new)
            told.trouble = tail.trouble
            traces = {str(turn): trace_of(trace) for turn, trace in new.items()}
            more = {"records": records, "traces": traces, "trouble": told.trouble}
            return (tail.ends[-1] if tail.ends else byte), more


class Live(ThreadingHTTPServer):
    """Serves runs as they go on.

    Attributes:
        runs: the runs.
        token: what an address has to begin with.
        stopping: set when the server is to end.
    """

    daemon_threads = True
    allow_reuse_address = False

    def __init__(self, runs: Sequence[Run], port: int = 0) -> None:
        """Listen on the loopback address.

        Args:
            runs: one or two.
            port: where; 0 takes any that is free.

        Raises:
            ConfigError: the port cannot be had.
        """
        self.runs = [LiveRun(run) for run in runs]
        self.token = secrets.token_urlsafe(24)
        self.stopping = Event()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--port {port}: cannot be listened on: {error}. Give another, or none.") from None

    @property
    def address(self) -> str:
        """The address of the page, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/"

    @property
    def hosts(self) -> frozenset[str]:
        """The names that it may be asked under."""
        return frozenset({f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"})

    def page(self) -> bytes:
        """Return the page, with the lists as they stand."""
        # first the lists: a run that has just begun is opened anew when its first tree is there
        lines = [live.lines() for live in self.runs]
        runs = [live.run for live in self.runs]
        records = [run_record(run, first_header(run), own) for run, own in zip(runs, lines, strict=True)]
        index = index_of(records, names_of(runs), live=True)
        return html(title_of(runs), [("index", json_block(index), False)], connect=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""

    def close(self) -> None:
        """End, and every connection with it."""
        self.stopping.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Live
    protocol_version = "HTTP/1.1"
    server_version = "mars2"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer, if the request may be answered."""
        self.close_connection = True
        if self.headers.get("Host", "") not in self.server.hosts:
            return self._refuse(403, "this server answers under its own name alone")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            return self._refuse(403, "this server answers its own page alone")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return self._refuse(403, "this server answers its own page alone")
        asked = urlsplit(self.path)
        token, slash, what = asked.path.removeprefix("/").partition("/")
        if not compare_digest(token.encode(), self.server.token.encode()):
            return self._refuse(404, "the address lacks the token, or it is an old one")
        given = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if slash and not what:
            return self._send(200, "text/html; charset=utf-8", self.server.page())
        if what == "runs":
            return self._stream(self._lists())
        if what == "tree":
            number = given.get("run", "")
            if number in [str(place) for place in range(len(self.server.runs))]:
                return self._stream(self._tree(self.server.runs[int(number)], given.get("log", "")))
        return self._refuse(404, "there is nothing at this address")

    def _headers(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in (
            ("Content-Security-Policy", f"{policy(connect=True)}; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self._headers(status, kind, len(body))
        self.wfile.write(body)

    def _refuse(self, status: int, why: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{why}\n".encode())

    def _stream(self, messages: Iterator[bytes]) -> None:
        """Send messages as they come, until the browser goes or the server ends."""
        self._headers(200, "text/event-stream", None)
        quiet = 0.0
        try:
            for message in messages:
                if message:
                    quiet = 0.0
                    self.wfile.write(message)
                elif (quiet := quiet + EVERY) >= QUIET:
                    quiet = 0.0
                    self.wfile.write(b": still here\n\n")
                if not message and self.server.stopping.wait(EVERY):
                    return
        except (TimeoutError, ConnectionError):
            return

    def _lists(self) -> Iterator[bytes]:
        """Yield each run and its list, and then whatever changes of them; an empty message where nothing does."""
        known: list[dict[str, Record]] = [{} for _ in self.server.runs]
        abouts: list[Record | None] = [None for _ in self.server.runs]
        while True:
            quiet = True
            for number, live in enumerate(self.server.runs):
                lines = live.lines()
                about = live.about()
                if about != abouts[number]:
                    abouts[number] = about
                    yield _message("run", {"run": number, "about": about})
                changed = [line for line in lines if known[number].get(line["log"]) is not line]
                known[number] = {line["log"]: line for line in lines}
                if changed:
                    quiet = False
                    yield _message("trees", {"run": number, "trees": changed})
            if quiet:
                yield b""

    def _tree(self, live: LiveRun, log: str) -> Iterator[bytes]:
        """Yield a tree's head, its records so far, and then whatever comes; an empty message where nothing does."""
        try:
            tail = live.opened(log)
        except LogError:
            return
        last = self.headers.get("Last-Event-ID", "")
        number, _, told = last.partition("-")
        byte = int(told) if number == str(tail.number) and told.isdecimal() and len(told) < 16 else -1
        reading, besides = tail.number, Told()
        begun = byte >= 0
        while True:
            if reading != tail.number:
                reading, byte, begun, besides = tail.number, -1, False, Told()
            if not begun and (head := live.head(tail)) is not None:
                begun = True
                yield _message("head", head)
            more = live.more(tail, byte, besides) if begun else None
            if reading != tail.number:
                continue
            if more is None:
                if not begun:
                    tail.poll()
                yield b""
                continue
            byte, records = more
            yield _message("more", records, f"{reading}-{byte}")

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: addresses hold the token."""


def _message(name: str, data: Any, number: str = "") -> bytes:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: ".encode() + msgspec.json.encode(data) + b"\n\n"


def serve(runs: Sequence[Run], port: int = 0, ready: Callable[[str], None] | None = None) -> None:
    """Serve runs until interrupted.

    Args:
        runs: one or two.
        port: where to listen; 0 takes any that is free.
        ready: called with the address when the page can be opened.

    Raises:
        ConfigError: the port cannot be had.
    """
    server = Live(runs, port)
    if ready is not None:
        ready(server.address)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.stopping.set()
        server.server_close()
