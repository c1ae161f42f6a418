"""Our allow-list of system calls (`seccomp.json`): as container engines take it, and compiled for where there is none.

A compiled filter is a program of 8-byte instructions of the classic Berkeley Packet Filter over `struct seccomp_data`:
the number of the call (4 bytes), the architecture (4), the instruction pointer (8), six arguments (8 each). See
`Documentation/userspace-api/seccomp_filter.rst` in the kernel's sources. The numbers of the calls, which differ from
one architecture to the other, are in `syscalls.json`; a name that an architecture does not have is left out.
"""

from __future__ import annotations

import functools
import json
import platform
import struct
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from mars2_env.errors import SandboxUnavailableError

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _GREATER_OR_EQUAL, _MASK, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_X32: Final = 0x40000000
"""Numbers from here on are calls of x86_64's other ABI, which nothing here uses."""
_MOST_INSTRUCTIONS: Final = 4096

Instruction = tuple[int, int, int, int]
"""Operation, how many to skip if true, how many if false, operand."""


def _resource(name: str) -> Any:
    return json.loads(files("mars2_env.sandbox").joinpath(name).read_text("utf-8"))


@functools.cache
def seccomp_profile() -> str:
    """Return our allow-list of system calls, as a container engine takes it."""
    return json.dumps(_resource("seccomp.json"))


def allowed_calls() -> frozenset[str]:
    """Return the names of the system calls that our allow-list has an entry for."""
    return frozenset(name for entry in _resource("seccomp.json")["syscalls"] for name in entry["names"])


def _returned(entry: Mapping[str, Any]) -> int:
    if entry["action"] == "SCMP_ACT_ALLOW":
        return _ALLOW
    return _ERRNO | int(entry["errnoRet"])


def _conditions(arguments: Sequence[Mapping[str, Any]], result: int) -> list[Instruction]:
    """Return `result` if every condition on the arguments holds, else go on behind."""
    checks: list[Instruction] = []
    for argument in arguments:
        masked = argument["op"] == "SCMP_CMP_MASKED_EQ"
        if not masked and argument["op"] != "SCMP_CMP_EQ":
            raise ValueError(f"an operator that is not compiled: {argument['op']}")
        mask = argument["value"] if masked else 2**64 - 1
        value = argument["valueTwo"] if masked else argument["value"]
        for half, shift in ((0, 0), (4, 32)):
            part = (mask >> shift) & 0xFFFFFFFF
            if part == 0:
                continue
            checks.append((_LOAD, 0, 0, 16 + 8 * argument["index"] + half))
            if part != 0xFFFFFFFF:
                checks.append((_MASK, 0, 0, part))
            checks.append((_EQUAL, 0, -1, (value >> shift) & 0xFFFFFFFF))
    length = len(checks)
    # A false condition skips what is left of the checks and the return.
    done = [(op, yes, length - at if no == -1 else no, operand) for at, (op, yes, no, operand) in enumerate(checks)]
    return [*done, (_RETURN, 0, 0, result)]


def compile_profile(
    profile: Mapping[str, Any], numbers: Mapping[str, int], machine: str, denied: Collection[str] = ()
) -> bytes:
    """Return a filter that does what `profile` says.

    Args:
        profile: An allow-list in the form that container engines take.
        numbers: The number of each system call.
        machine: "x86_64" or "aarch64".
        denied: Names of calls to deny though the profile allows them.
    """
    program: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_GREATER_OR_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, _ERRNO | profile["defaultErrnoRet"]),
    ]
    plain: dict[int, int] = {}
    conditional: dict[int, list[Instruction]] = {}
    for entry in profile["syscalls"]:
        for name in entry["names"]:
            number = numbers.get(name)
            if number is None or name in denied:
                continue
            if entry.get("args"):
                conditional.setdefault(number, []).extend(_conditions(entry["args"], _returned(entry)))
            else:
                plain[number] = _returned(entry)
    for number, result in sorted(plain.items()):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, result)]
    for number, checks in sorted(conditional.items()):
        checks = [*checks, (_RETURN, 0, 0, _ERRNO | profile["defaultErrnoRet"])]
        program += [(_EQUAL, 0, len(checks), number), *checks]
    program.append((_RETURN, 0, 0, _ERRNO | profile["defaultErrnoRet"]))
    assert len(program) <= _MOST_INSTRUCTIONS
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def compiled_filter(denied: Collection[str] = ()) -> bytes:
    """Return our allow-list, less the calls `denied`, compiled for this machine.

    Raises:
        SandboxUnavailableError: the machine is neither an x86_64 nor an aarch64.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH:
        raise SandboxUnavailableError(f"bubblewrap is supported on x86_64 and aarch64, not on {machine}; use Docker.")
    return compile_profile(_resource("seccomp.json"), _resource("syscalls.json")[machine], machine, denied)
