"""Runs one candidate program inside its own, already confined, process: our last code before it and our first after it.

Nothing here is trusted: the candidate shares the process and can change all of it. So what this module reports decides
nothing but what is quoted as feedback. A result is compared on the host, and whether a process ended well is judged
there too, from its exit status.
"""

from __future__ import annotations

import atexit
import builtins
import gc
import os
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
_FRAMES_SHOWN: Final = 6
_MESSAGE_CAP: Final = 2000

# Bound now: the candidate may have replaced them in `builtins` or `os` by the time they are needed.
_exit, _read, _write, _compile, _exec = os._exit, os.read, os.write, compile, exec
_type, _len, _str, _isinstance, _int, _getattr = type, len, str, isinstance, int, getattr
_settrace, _setprofile = sys.settrace, sys.setprofile
_type_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_traceback_of: Callable[[BaseException], TracebackType | None] = BaseException.__dict__["__traceback__"].__get__
_join, _join_lines = b"".join, "\n".join
_BaseException, _SystemExit, _MemoryError, _SyntaxError = BaseException, SystemExit, MemoryError, SyntaxError
_OSError = OSError


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
    texts = source.decode("utf-8", "replace").split("\n")
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
    return _isinstance(error, _MemoryError) or (_isinstance(error, _OSError) and error.errno == ENOMEM)


def _report(fd: int, error: BaseException, source: bytes, kind: bytes = ERROR) -> None:
    """Report an exception; the report is best effort, and whatever goes wrong in making it is not reported."""
    with suppress(_BaseException):
        if kind != COMPILE_ERROR and _out_of_memory(error):
            _send(fd, MEMORY_ERROR, b'["MemoryError","","MemoryError"]')
        else:
            _send(fd, kind, _describe(error, source))


def _load(source: bytes, fd: int) -> Any:
    """Compile the program, or report why not and exit."""
    try:
        return _compile(source, FILENAME, "exec", dont_inherit=True)
    except _BaseException as error:
        _report(fd, error, source, COMPILE_ERROR)
        _exit(1)


def _module(name: str) -> ModuleType:
    # The frames of ours below the program's first one do not count against its recursion.
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(sys.getrecursionlimit() + depth)
    module = ModuleType(name)
    module.__file__ = FILENAME
    module.__dict__["__builtins__"] = builtins
    sys.modules[name] = module
    return module


def _prepare(prelude: str, module: ModuleType) -> None:
    if prelude:
        _exec(_compile(prelude, "prelude.py", "exec", dont_inherit=True), module.__dict__)


def _end(module: ModuleType, status: int) -> NoReturn:
    """End the process as the interpreter would, without the long way through the destruction of every module."""
    with suppress(_BaseException):
        if _len(threading._active) > 1 or threading._threading_atexits:  # type: ignore[attr-defined]
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for last in (False, True):
        for stream in (sys.stdout, sys.__stdout__, sys.stderr):
            try:
                stream.flush()  # type: ignore[union-attr]
            except ValueError:
                pass  # closed by the program itself
            except _BaseException:
                if stream is not sys.stderr and status == 0:
                    status = 120
        if not last:
            # Files that the program opened and never closed write their buffers now.
            module.__dict__.clear()
            gc.collect()
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
        source: The program, in UTF-8 or as its coding cookie says.
        report: Descriptor to report an uncaught exception to.
        prelude: What runs first, in the program's namespace.
    """
    code = _load(source, report)
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
    _end(module, status)


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
    """Return what to call: the function of that name, or that method of a fresh `Solution()`, as LeetCode has it."""
    if function in names:
        return names[function]
    if "Solution" in names:
        return _getattr(names["Solution"](), function)
    raise NameError(f"the program defines no function named {function!r}")


def serve_calls(
    source: bytes, function: str, inputs: int, report: int, output_bytes: int, prelude: str = ""
) -> NoReturn:
    """Define the program's names, then call `function` with each list of arguments that arrives, until no more come.

    Args:
        source: The program, in UTF-8 or as its coding cookie says.
        function: Name of the function to call, or of a method of the class `Solution`.
        inputs: Descriptor that encoded lists of arguments come from, each with its length in front.
        report: Descriptor for results and exceptions.
        output_bytes: Cap on an encoded result.
        prelude: What runs first, in the program's namespace.
    """
    code = _load(source, report)
    module = _module("program")
    names = module.__dict__
    try:
        _prepare(prelude, module)
        # What is called is the program's own, whatever the prelude has under that name (`add`, `search`).
        provided = names.pop(function, _MISSING)
        _exec(code, names)
    except _BaseException as error:
        _report(report, error, source, FATAL_ERROR)
        _exit(1)
    own = names
    if provided is not _MISSING and function not in names:
        own = {**names}
        names[function] = provided
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
