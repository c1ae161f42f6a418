"""A sandbox that runs nothing twice: equal programs on equal inputs are answered from memory, or from a file.

For studies that meet the same programs again and again, such as training a controller over simulated generators. It
holds for programs that do the same thing each time, as judging expects of them: of one that draws random numbers or
reads a clock, the first run stands for all. Faults are never kept.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Final

import msgspec

from mars2_env.errors import ConfigError, SandboxError
from mars2_env.sandbox import stepping
from mars2_env.sandbox.base import LIMITS, STDIN, Sandbox
from mars2_env.sandbox.stepping import Begin, Course, Next
from mars2_env.sandbox.worker.values import decode, encode
from mars2_env.types import Interface, Limits, Run

SCHEMA: Final = 1


class CachedSandbox:
    """Keeps the runs of another sandbox and answers from them; keeps the `Sandbox` protocol.

    Args:
        sandbox: where programs run that were not run before. It is closed together with this one.
        path: a file (SQLite) that keeps the runs for other processes and later sessions; in memory alone if left out.
            Its keys are hashes: it holds outputs of programs, but neither programs nor inputs.

    Attributes:
        hits: how many runs were answered without running anything.
        misses: how many were run.

    Raises:
        ConfigError: the file cannot be opened, or is none of ours.
    """

    def __init__(self, sandbox: Sandbox, path: str | os.PathLike[str] | None = None) -> None:
        self._sandbox = sandbox
        self._path = None if path is None else Path(path)
        self.hits = self.misses = 0
        self._open()

    def _open(self) -> None:
        self._lock = Lock()
        self._process = os.getpid()
        where = ":memory:" if self._path is None else str(self._path)
        try:
            self._kept = sqlite3.connect(where, check_same_thread=False, timeout=60, isolation_level=None)
            (version,) = self._kept.execute("PRAGMA user_version").fetchone()
            (tables,) = self._kept.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if version != SCHEMA and (version or tables):
                raise ConfigError(f"{where} is not a file of kept runs (schema {version}, not {SCHEMA}); give another.")
            self._kept.execute("PRAGMA journal_mode = WAL")
            self._kept.execute("PRAGMA synchronous = OFF")  # what a crash loses is run again
            self._kept.execute("CREATE TABLE IF NOT EXISTS runs (key BLOB PRIMARY KEY, run BLOB) WITHOUT ROWID")
            self._kept.execute(f"PRAGMA user_version = {SCHEMA}")
        except sqlite3.Error as error:
            raise ConfigError(f"{where} cannot keep runs: {error}. Give a new file in a folder that exists.") from None

    def __repr__(self) -> str:
        return f"CachedSandbox({self._sandbox!r}, hits={self.hits}, misses={self.misses})"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the sandbox and the file's path; a copy without a file begins empty."""
        return {"sandbox": self._sandbox, "path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the file again."""
        self.__init__(state["sandbox"], state["path"])  # type: ignore[misc]  # a copy is made like the first

    @property
    def identity(self) -> str:
        """That of the sandbox behind it, since the runs are that sandbox's."""
        return self._sandbox.identity

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Return one run for each input, in order.

        Raises:
            SandboxError: the sandbox behind it says so.
        """
        return list(self.stream(program, inputs, interface=interface, limits=limits))

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Like `run`, one by one: only inputs that are reached and not known go to the sandbox behind it."""
        return stepping.stream(self._course(program, inputs, interface, limits), self._sandbox)

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Async twin of `run`."""
        return [run async for run in self.astream(program, inputs, interface=interface, limits=limits)]

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        return stepping.astream(self._course(program, inputs, interface, limits), self._sandbox)

    def _course(self, program: str, inputs: Sequence[Any], interface: Interface, limits: Limits) -> Course[Run]:
        keys = self._keys(program, inputs, interface, limits)
        known = self._known(keys)
        begun = False
        for key in keys:
            run = known.get(key)
            if run is not None:
                self._count(hit=True)
                yield run
                continue
            if not begun:
                new = [given for k, given in zip(keys, inputs, strict=True) if k not in known]
                yield Begin(program, new, interface, limits)
                begun = True
            run = yield Next()
            if run is None:
                raise SandboxError(
                    "the sandbox behind this cache returned fewer runs than it was given inputs; "
                    "this is a fault of that sandbox, not of the program."
                )
            self._keep(key, run)
            yield run

    def close(self) -> None:
        """Close the sandbox behind it and the file; idempotent."""
        self._sandbox.close()
        self.release()

    def release(self) -> None:
        """Close the file alone, where the sandbox behind it is another's to close; idempotent."""
        if self._process == os.getpid():
            with self._lock:
                self._kept.close()

    def __enter__(self) -> CachedSandbox:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _keys(self, program: str, inputs: Sequence[Any], interface: Interface, limits: Limits) -> list[bytes]:
        head = sha256()
        for part in (self.identity, program, repr(interface) + interface.prelude, repr(limits)):
            text = part.encode("utf-8", "surrogatepass")
            head.update(b"%d:" % len(text) + text)
        keys = []
        for given in inputs:
            key = head.copy()
            key.update(encode(given))
            keys.append(key.digest())
        return keys

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, Run]:
        if self._process != os.getpid():
            self._open()  # forked: a connection belongs to the process that made it
        with self._lock:
            found = self._execute(f"SELECT key, run FROM runs WHERE key IN ({','.join('?' * len(keys))})", keys)
        return {key: _run(data) for key, data in found}

    def _keep(self, key: bytes, run: Run) -> None:
        with self._lock:
            self._execute("INSERT OR IGNORE INTO runs VALUES (?, ?)", (key, _data(run)))
        self._count(hit=False)

    def _count(self, *, hit: bool) -> None:
        with self._lock:
            self.hits += hit
            self.misses += not hit

    def _execute(self, statement: str, values: Sequence[Any]) -> list[Any]:
        try:
            return self._kept.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise SandboxError(f"the file of kept runs {self._path}: {error}.") from None


def _data(run: Run) -> bytes:
    """Return a run as bytes; its output is encoded as it comes from a worker, so that its types are kept."""
    return msgspec.msgpack.encode({**asdict(run), "output": encode(run.output)})


def _run(data: bytes) -> Run:
    fields = msgspec.msgpack.decode(data)
    return Run(**{**fields, "output": decode(fields["output"])})
