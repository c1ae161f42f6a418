"""A sandbox for programs in another language than Python, made of one for Python.

Two Python programs of ours take a candidate's place in it. The first checks (compiles) a candidate's program, once, and
prints what came of it; that is kept here, as text that nothing on the host decodes, and becomes part of the second,
which executes it on one test's input. So nothing of a program is left in the sandbox between two runs that the program
could change or another could read, a compiler is as confined and limited as the program, and neither supervisor, judge
nor pool know of languages. Both run with the candidate's rights: what they say is believed of the candidate alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Lock
from types import TracebackType
from typing import Any, Final, TypeAlias

from mars2_env.errors import ConfigError, SandboxUnavailableError
from mars2_env.sandbox import stepping
from mars2_env.sandbox.base import LIMITS, STDIN, Describes, Sandbox
from mars2_env.sandbox.language import Language
from mars2_env.sandbox.masking import mask
from mars2_env.sandbox.pool import PerProcess
from mars2_env.sandbox.stepping import Asking, Begin, Course, Next, RunAll, Wait
from mars2_env.types import Call, Interface, Limits, Run

Checked: TypeAlias = str | Run
"""What a check came to: the Python program that runs the candidate's, or a compile error."""

_MOST_MESSAGES: Final = 16 * 2**10
_SHOWN: Final = 2000
_KEPT: Final = 32
"""Checks of so many programs are kept, those used last."""

_GOOD_INPUT: Final = "20 22\n"
_GOOD_OUTPUT: Final = "42"
_TEMPORARY: Final = re.compile(r"/box/[0-9a-f]{16}/cc\w{6}\b")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")

_CHECK: Final = """\
import base64, os, subprocess, sys, zlib
os.unlink(__file__)  # this one, and not the candidate's
file_name, makes, command, most = {settings!r}
with open(file_name, "wb") as file:
    file.write(sys.stdin.buffer.read())
status = 0
if command:
    tools = {{**os.environ, "PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
    with open(".messages", "wb") as said:
        status = subprocess.call(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=tools)
if status == 0:
    with open(makes or file_name, "rb") as file:
        sys.stdout.write("+" + base64.b64encode(zlib.compress(file.read(), 1)).decode())
else:
    with open(".messages", "rb") as said:
        text = said.read(most).decode("utf-8", "replace")
    sys.stdout.write("-" + text)
"""

_RUN: Final = """\
import base64, os, signal, zlib
os.unlink(__file__)  # this one, and not the candidate's
command, file_name, program = {settings!r}
program = zlib.decompress(base64.b64decode(program))
for name in ("SIGPIPE", "SIGXFSZ"):  # which Python ignores
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.environ["PATH"] = "/usr/bin:/bin"
os.environ.pop("LD_BIND_NOW", None)
try:
    # Scratch folders may be mounted without the right to execute.
    descriptor = -1 if command else os.memfd_create(file_name)
except OSError:
    descriptor = -1  # no memory files here: then they may be executed
if descriptor < 0:
    descriptor = os.open(file_name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
    path = file_name if command else "./" + file_name
else:
    path = f"/proc/self/fd/{{descriptor}}"
os.set_inheritable(descriptor, False)
view = memoryview(program)
while view:
    view = view[os.write(descriptor, view):]
if path[0] != "/":
    os.close(descriptor)
if command:
    os.execv(command[0], [*command, path])
os.execv(path, [file_name])
"""


@dataclass(slots=True)
class _Checks:
    """The checks that one process has made or is making, by program."""

    lock: Lock = field(default_factory=Lock)
    known: OrderedDict[bytes, Future[Checked | None]] = field(default_factory=OrderedDict)
    works: bool = False

    def ask(self, program: str) -> tuple[Future[Checked | None], bool]:
        """Return the check of a program and whether the caller is to make it."""
        key = sha256(program.encode("utf-8", "surrogatepass")).digest()
        with self.lock:
            found = self.known.get(key)
            if found is not None:
                self.known.move_to_end(key)
                return found, False
            made: Future[Checked | None] = Future()
            self.known[key] = made
            if len(self.known) > _KEPT:
                self.known.popitem(last=False)
            return made, True

    def drop(self, check: Future[Checked | None]) -> None:
        """Forget a check that was not made; whoever waits for it asks again."""
        with self.lock:
            for key in [key for key, found in self.known.items() if found is check]:
                del self.known[key]
        check.set_result(None)


class LanguageSandbox:
    """Runs programs of one language; keeps the contract of `Sandbox`, for problems on standard input alone.

    A program is checked once, however many inputs it is run on and from how many threads or tasks, as long as it is
    among the last 32. A program that fails its check is a compile error on every input, with the compiler's messages as
    `traceback`; so is one whose check runs into `Language.check_limits`.

    Args:
        sandbox: Where it all happens; it has the language's tools. It is closed together with this one.
        language: The language.
    """

    def __init__(self, sandbox: Sandbox, language: Language) -> None:
        self._sandbox = sandbox
        self.language = language
        self._here: PerProcess[_Checks] = PerProcess()

    def __repr__(self) -> str:
        return f"LanguageSandbox({self._sandbox!r}, {self.language.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: the sandbox and the language."""
        return {"_sandbox": self._sandbox, "language": self.language}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin without checks."""
        self.__dict__.update(state, _here=PerProcess())

    @property
    def identity(self) -> str:
        """That of the sandbox behind it, and the language with the commands that make and run its programs."""
        commands = repr((self.language.check, self.language.makes, self.language.run))
        return f"{self._sandbox.identity}:language={self.language.name}:{sha256(commands.encode()).hexdigest()[:12]}"

    def describe(self) -> dict[str, str]:
        """Say which isolation is in force, and which language programs are in, for people to read."""
        return {
            **(self._sandbox.describe() if isinstance(self._sandbox, Describes) else {}),
            "language": f"{self.language.name}, {' '.join(self.language.check)}",
            "identity": self.identity,
        }

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Run `program` on each input; see `Sandbox.run`.

        Raises:
            ConfigError: the interface is `Call`: functions are called in Python alone.
            SandboxError: the sandbox failed, or the language's tools do not work in it.
        """
        return list(self.stream(program, inputs, interface=interface, limits=limits))

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Run `program` on one input after the other; see `Sandbox.stream`."""
        self._refuse(interface)
        return stepping.stream(self._course(program, inputs, limits), self._sandbox)

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Async twin of `run`."""
        return [run async for run in self.astream(program, inputs, interface=interface, limits=limits)]

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        self._refuse(interface)
        return stepping.astream(self._course(program, inputs, limits), self._sandbox)

    def _course(self, program: str, inputs: Sequence[Any], limits: Limits) -> Course[Run]:
        checks = self._here.get(_Checks)
        if not checks.works:
            good = yield from self._checked(checks, self.language.known_good)
            self._must_be_good(good if isinstance(good, Run) else (yield RunAll(good, [_GOOD_INPUT]))[0])
            checks.works = True
        checked = yield from self._checked(checks, program)
        if isinstance(checked, Run):
            for _ in inputs:
                yield checked
            return
        yield Begin(checked, inputs, limits=limits)
        while (run := (yield Next())) is not None:
            yield self._told(run)

    def close(self) -> None:
        """Close the sandbox behind it. Idempotent."""
        self._sandbox.close()

    def __enter__(self) -> LanguageSandbox:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # Checks

    def _checked(self, checks: _Checks, program: str) -> Asking[Checked]:
        """Return what the check of a program came to, making it unless it was made or is being made."""
        while True:
            check, ours = checks.ask(program)
            if not ours:
                known: Checked | None = yield Wait(check)
                if known is not None:
                    return known
                continue
            try:
                runs = yield RunAll(self._checker(), [program], limits=self.language.check_limits)
                made = self._made(runs[0])
            except BaseException:
                checks.drop(check)
                raise
            check.set_result(made)
            return made

    def _checker(self) -> str:
        language = self.language
        return _CHECK.format(settings=(language.file, language.makes, language.check, _MOST_MESSAGES))

    def _made(self, run: Run) -> Checked:
        """Return what a check came to."""
        language = self.language
        said = run.output if run.status == "ok" and isinstance(run.output, str) else ""
        if said[:1] == "+" and _BASE64.fullmatch(said, 1):
            return _RUN.format(settings=(language.run, language.makes or language.file, said[1:]))
        if said[:1] == "-":
            messages = mask(_TEMPORARY.sub("temporary", said[1:])).strip()
            first = next((line for line in messages.splitlines() if "error" in line), "it does not compile")
        else:
            limits = language.check_limits
            messages = first = {
                "time_limit": f"the compiler was stopped after {limits.cpu_seconds:g} s of CPU time or "
                f"{limits.wall_seconds:g} s of wall time",
                "memory_limit": f"the compiler was stopped at {limits.memory_bytes / 2**20:g} MB of memory",
                "output_limit": f"the compiled program is larger than {limits.output_bytes / 2**20:g} MB, compressed",
            }.get(run.status, f"the compiler failed: {run.error_message or 'it left nothing to run'}")
        return replace(
            run,
            status="compile_error",
            exit_code=1,
            output=None,
            stderr="",
            error_type="CompileError",
            error_message=first[:_SHOWN],
            traceback=messages,
        )

    def _told(self, run: Run) -> Run:
        """Return a run as one of this language: what it is told by is its standard error, not a traceback of ours."""
        if run.status != "runtime_error":
            return run
        if self.language.out_of_memory and self.language.out_of_memory in run.stderr:
            return replace(run, status="memory_limit", error_type="", error_message="", traceback="")
        name = f"exit code {run.exit_code}" if run.exit_code and run.exit_code > 0 else run.error_type
        return replace(run, error_type=name, traceback=run.stderr.strip()[-_SHOWN:])

    def _must_be_good(self, run: Run) -> None:
        if run.status != "ok" or run.output.strip() != _GOOD_OUTPUT:
            raise SandboxUnavailableError(
                f"{self.language.name} does not work in this sandbox; its known-good program ended in {run.status}: "
                f"{run.traceback or run.error_message or run.output!r}. Are its tools in the sandbox "
                f"({' '.join(self.language.check[:1] + self.language.run[:1])})?"
            )

    def _refuse(self, interface: Interface) -> None:
        if isinstance(interface, Call):
            raise ConfigError(
                f"{interface}: functions are called in Python alone; programs in {self.language.name} read standard "
                "input and write standard output (Stdin())."
            )
