"""Runs one candidate program inside its own, already confined, process: our last code before it and our first after it.

Nothing here is trusted: the candidate shares the process and can change all of it. So what this module reports decides
nothing but what is quoted as feedback. A result is compared on the host, and whether a process ended well is judged
there too, from its exit status.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import codecs
import functools
import gc
import linecache
import os
import re
import resource
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from errno import ENOMEM
from types import ModuleType, TracebackType
from typing import Any, Final, NoReturn

from mars2_env.sandbox.worker.frames import COMPILE_ERROR, ERROR, FATAL_ERROR, MEMORY_ERROR, RESULT, TOO_LARGE
from mars2_env.sandbox.worker.values import TooLargeError, ValuesError, decode, encode

FILENAME: Final = "program.py"
BEGUN: Final = b"B"
"""Written once by a seat, before the program: a process that ends without it is a fault of ours, never a verdict."""

_MISSING: Final = object()
_COOKIE: Final = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", re.ASCII)  # as the reference has it
_BLANK: Final = re.compile(r"[ \t\f]*(?:#.*)?\r?$")
_COOKIE_WITHIN: Final = 1000
_FRAMES_SHOWN: Final = 6
_MESSAGE_CAP: Final = 2000

# Bound now: the candidate may have replaced them in `builtins` or `os` by the time they are needed.
_exit, _read, _write, _unlink, _compile, _exec = os._exit, os.read, os.write, os.unlink, compile, exec
_type, _len, _str, _isinstance, _int, _getattr, _callable = type, len, str, isinstance, int, getattr, callable
_settrace, _setprofile = sys.settrace, sys.setprofile
_type_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_traceback_of: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__
_join, _join_lines = b"".join, "\n".join
_BaseException, _SystemExit, _MemoryError, _SyntaxError = BaseException, SystemExit, MemoryError, SyntaxError
_OSError, _BaseExceptionGroup, _open = OSError, BaseExceptionGroup, open
_getrlimit, _setrlimit = resource.getrlimit, resource.setrlimit
_stack_size = threading.stack_size
_ADDRESS_SPACE, _INFINITY = resource.RLIMIT_AS, resource.RLIM_INFINITY
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_USUAL_STACK: Final = 8 * 2**20
_BESIDE_STACK: Final = 4 * 2**20
"""What a thread needs beside its stack to begin."""


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[_write(fd, view) :]


def _send(fd: int, kind: bytes, data: bytes) -> None:
    _write_all(fd, _join((_len(data).to_bytes(4, "big"), kind, data)))


def _describe(error: Any, source: bytes) -> bytes:
    """Return type, message and traceback of an exception, in the candidate's own frames, as encoded values."""
    frames: list[tuple[int, str]] = []
    trace = _traceback_of(error)
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            frames.append((trace.tb_lineno, trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    try:
        message = _str(error)[:_MESSAGE_CAP]
    except _BaseException:
        message = "<no message>"
    name = _type_name(_type(error))[:100]
    texts = _lines(source)
    lines = ["Traceback (most recent call last):"] if frames else []
    omitted = _len(frames) - 2 * _FRAMES_SHOWN
    for index, (number, function) in enumerate(frames):
        if omitted > 0 and _FRAMES_SHOWN <= index < _FRAMES_SHOWN + omitted:
            if index == _FRAMES_SHOWN:
                lines.append(f"  ... {omitted} more frames ...")
            continue
        lines.append(f'  File "{FILENAME}", line {number}, in {function[:100]}')
        if 0 < number <= _len(texts):
            lines.append("    " + texts[number - 1].strip()[:200])
    if _isinstance(error, _SyntaxError) and _type(error.lineno) is _int and error.filename == FILENAME:
        message = _str(error.msg)[:_MESSAGE_CAP]
        lines.append(f'  File "{FILENAME}", line {error.lineno}')
        if 0 < error.lineno <= _len(texts):
            lines.append("    " + texts[error.lineno - 1].strip()[:200])
    lines.append(f"{name}: {message}" if message else name)
    return encode([name, message, _join_lines(lines)])


def _out_of_memory(error: Any) -> bool:
    if _isinstance(error, _BaseExceptionGroup):
        return any(map(_out_of_memory, error.exceptions))
    return _isinstance(error, _MemoryError) or (_isinstance(error, _OSError) and error.errno == ENOMEM)


def make_room_for_stacks() -> None:
    """Have every new thread's stack reserved beside what a program may allocate; called once, in the zygote.

    A stack is reserved whole and used little: one of 512 MiB would take all the address space that a run has. Where
    there is no room all the same the program is told so at once, by an error that is both a `MemoryError` and Python's
    own `RuntimeError` for it: a thread that begins with the last of it cannot even say that it has begun, and whoever
    started it waits for ever.
    """
    for module in (threading, _thread):
        for name in ("_start_new_thread", "_start_joinable_thread", "start_new_thread", "start_joinable_thread"):
            start = _getattr(module, name, None)
            if start is not None:
                setattr(module, name, _with_room(start))


class _NoRoomError(MemoryError, RuntimeError):
    """A thread's stack has no room."""


def _with_room(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def start_with_room(*arguments: Any, **options: Any) -> Any:
        size = _stack_size()
        _stack_size(size)  # being asked it forgets
        needed = (size or _USUAL_STACK) + _BESIDE_STACK
        soft, hard = _getrlimit(_ADDRESS_SPACE)
        if soft != _INFINITY:
            soft = min(soft + needed, hard) if hard != _INFINITY else soft + needed
            _setrlimit(_ADDRESS_SPACE, (soft, hard))
            if soft - _address_space() < needed:
                raise _NoRoomError(f"can't start new thread: no room for its stack, {needed} bytes")
        return start(*arguments, **options)

    return start_with_room


def _address_space() -> int:
    with suppress(_OSError), _open("/proc/self/statm", "rb") as file:
        return _int(file.read().split()[0]) * _PAGE
    return 0


def _thread_failed(report: int, source: bytes, before: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a hook for exceptions that end a thread: want of memory ends the run, as it does in the main thread."""

    def hook(arguments: Any) -> None:
        if _out_of_memory(arguments.exc_value):
            _report(report, arguments.exc_value, source)
            _exit(1)
        before(arguments)

    return hook


def _report(fd: int, error: BaseException, source: bytes, kind: bytes = ERROR) -> None:
    """Report an exception; the report is best effort, and whatever goes wrong in making it is not reported."""
    with suppress(_BaseException):
        if kind != COMPILE_ERROR and _out_of_memory(error):
            _send(fd, MEMORY_ERROR, b'["MemoryError","","MemoryError"]')
        else:
            _send(fd, kind, _describe(error, source))


def _text(source: bytes) -> str:
    """Return the program as the text that it was sent as.

    What it says of its own encoding (a cookie, a byte order mark) is about a file that it was once in: what was read
    from that is not read so a second time. An encoding that Python does not know is an error all the same.

    Raises:
        SyntaxError: it holds no text, or names no encoding.
    """
    try:
        text = source.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _SyntaxError(f"not a text: {error}") from None
    for line in text[:_COOKIE_WITHIN].split("\n", 2)[:2]:
        cookie = _COOKIE.match(line)
        try:
            if cookie is not None:
                codecs.lookup(cookie[1])
        except LookupError:
            raise _SyntaxError(f"unknown encoding: {cookie and cookie[1]}") from None
        if cookie is not None or not _BLANK.match(line):
            break
    return text


def _lines(source: bytes) -> list[str]:
    return source.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _put_file(source: bytes) -> str:
    """Leave the program where `__file__` says it is, for those that read or run themselves; return the whole path."""
    with suppress(_OSError), _open(FILENAME, "wb") as file:
        file.write(source)
    linecache.cache[FILENAME] = (lambda: _text(source),)  # where the file is gone, or somewhere else
    return os.path.join(os.getcwd(), FILENAME)


def _take_file(path: str) -> None:
    """Remove it: an empty scratch folder is quickly done away with."""
    with suppress(_BaseException):
        _unlink(path)


def _load(source: bytes, fd: int) -> Any:
    """Compile the program, or report why not and exit."""
    try:
        return _compile(_text(source), FILENAME, "exec", dont_inherit=True)
    except _BaseException as error:
        _report(fd, error, source, COMPILE_ERROR)
        _exit(1)


def _module(name: str) -> ModuleType:
    """Make the program's module; under every name it is also `__main__`, which is who asks."""
    # The frames of ours below the program's first one do not count against its recursion.
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(sys.getrecursionlimit() + depth)
    module = ModuleType(name)
    module.__file__ = FILENAME
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = sys.modules["__main__"] = module
    return module


def _prepare(prelude: str, module: ModuleType) -> None:
    if prelude:
        _exec(_compile(prelude, "prelude.py", "exec", dont_inherit=True), module.__dict__)


def _end(module: ModuleType, status: int, file: str) -> NoReturn:
    """End the process as the interpreter would, without the long way through the destruction of every module."""
    with suppress(_BaseException):
        if _len(threading._active) > 1 or threading._threading_atexits:  # type: ignore[attr-defined]
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for last in (False, True):
        for name in ("stdout", "__stdout__", "stderr"):
            stream = _getattr(sys, name, None)
            if stream is None:
                continue  # the program has taken it away, as it may
            try:
                stream.flush()
            except ValueError:
                pass  # closed by the program itself
            except _BaseException:
                if name != "stderr" and status == 0:
                    status = 120
        if not last:
            # Files that the program opened and never closed write their buffers now.
            module.__dict__.clear()
            gc.collect()
    _take_file(file)
    _exit(status)


def _exit_status(code: Any) -> int:
    if code is None:
        return 0
    if _isinstance(code, _int):
        return int(code & 0xFF)
    with suppress(_BaseException):
        sys.stderr.write(f"{code}\n")
    return 1


def run_script(source: bytes, report: int, prelude: str = "") -> NoReturn:
    """Run the program as a script on descriptors 0, 1 and 2, and exit.

    Args:
        source: The program, in UTF-8.
        report: Descriptor to report an uncaught exception to.
        prelude: What runs first, in the program's namespace.
    """
    code = _load(source, report)
    file = _put_file(source)
    threading.excepthook = _thread_failed(report, source, threading.excepthook)
    module = _module("__main__")
    status = 0
    try:
        _prepare(prelude, module)
        _exec(code, module.__dict__)
    except _SystemExit as error:
        status = _exit_status(error.code)
        if status:
            _report(report, error, source)
    except _BaseException as error:
        status = 1
        _report(report, error, source)
    _settrace(None)
    _setprofile(None)
    _end(module, status, file)


def read_exactly(fd: int, count: int) -> bytes:
    """Return `count` bytes from a pipe; exit if it ends before."""
    pieces = []
    while count:
        piece = _read(fd, count if count < 1 << 20 else 1 << 20)
        if not piece:
            _exit(0)
        pieces.append(piece)
        count -= _len(piece)
    return _join(pieces)


def _callee(names: dict[str, Any], function: str) -> Any:
    """Return what to call: that method of a fresh `Solution()`, as LeetCode has it, or the function of that name.

    Where there are both the method is the answer, and the global a helper, a counter or a table beside it.
    """
    solution: Any = names.get("Solution")
    if _isinstance(solution, _type) and _callable(_getattr(solution, function, None)):
        return _getattr(solution(), function)
    if function in names:
        return names[function]
    if solution is not None:
        return _getattr(solution(), function)
    raise NameError(f"the program defines no function named {function!r}")


def serve_calls(
    source: bytes, function: str, inputs: int, report: int, output_bytes: int, prelude: str = ""
) -> NoReturn:
    """Define the program's names, then call `function` with each list of arguments that arrives, until no more come.

    Args:
        source: The program, in UTF-8.
        function: Name of the function to call, or of a method of the class `Solution`.
        inputs: Descriptor that encoded lists of arguments come from, each with its length in front.
        report: Descriptor for results and exceptions.
        output_bytes: Cap on an encoded result.
        prelude: What runs first, in the program's namespace.
    """
    code = _load(source, report)
    file = _put_file(source)
    threading.excepthook = _thread_failed(report, source, threading.excepthook)
    module = _module("program")
    names = module.__dict__
    provided: Any = _MISSING
    try:
        _prepare(prelude, module)
        # What is called is the program's own, whatever the prelude has under that name (`add`, `search`).
        provided = names.pop(function, _MISSING)
        _exec(code, names)
    except _BaseException as error:
        # One that ends itself well, as `unittest.main()` does, has said what it had to say: its names stand.
        if not _isinstance(error, _SystemExit) or _exit_status(_getattr(error, "code", None)):
            _report(report, error, source, FATAL_ERROR)
            _exit(1)
    own = names
    if provided is not _MISSING and function not in names:
        own = {**names}
        names[function] = provided
    _take_file(file)
    while True:
        size = int.from_bytes(read_exactly(inputs, 4), "big")
        arguments = decode(read_exactly(inputs, size), size)
        try:
            result = _callee(own, function)(*arguments)
        except _BaseException as error:
            _settrace(None)
            _setprofile(None)
            _report(report, error, source)
            if _out_of_memory(error):
                _exit(1)
            continue
        _settrace(None)
        _setprofile(None)
        try:
            data = encode(result, max_bytes=output_bytes)
        except TooLargeError as error:
            _report(report, error, source, TOO_LARGE)
        except ValuesError as error:
            _report(report, error, source)
        except _BaseException as error:
            _report(report, error, source, FATAL_ERROR)
            _exit(1)
        else:
            _send(report, RESULT, data)
        arguments = result = None
