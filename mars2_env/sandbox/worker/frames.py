"""What the host and a worker must agree on, above all their messages: a kind and a few blobs of bytes.

    length of the rest (4 bytes, big-endian) | kind (1) | number of blobs (1) | their sizes (4 each) | blobs

Host to worker:
    O open    [settings as JSON, program]    a job: one program, to be run on the inputs that follow
    I input   [flags, input, ...]            run it on these inputs, or on the kept ones of these names
    C close   []                             no more inputs
    P keep    [name, input]                  keep this input, of this job or of others
    X drop    [name]                         keep it no longer
Worker to host:
    R ready   [facts as JSON]                once, at the start
    D done    [accounts, output, stderr, report, ...]    what came of the inputs, or of the first of them
    B beat    []                             a run goes on beyond its wall limit in real time: see `clock`
    K clean   []                             nothing is left of the process behind the last D
    F fault   [message]                      the worker gives up; it exits

A report is what the process of a run says of itself: a kind (`RESULT`, ...) and data, or nothing. It decides nothing
but what is quoted as feedback, or compared: the candidate can write it too.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Final

OPEN: Final = b"O"
INPUT: Final = b"I"
CLOSE: Final = b"C"
KEEP: Final = b"P"
DROP: Final = b"X"
READY: Final = b"R"
DONE: Final = b"D"
BEAT: Final = b"B"
CLEAN: Final = b"K"
FAULT: Final = b"F"

FRESH: Final = 1
"""Flag of an input: in a process of its own, also where functions are called."""
NAMED: Final = 2
"""Flag of an input: what is sent is its name."""
MOST_TOGETHER: Final = 64
"""How many inputs may be sent together."""

TOGETHER_SECONDS: Final = 0.02
"""When runs on inputs that were sent together have taken so long, the host is told what there is."""

CPU_GRACE: Final = 1.2
"""A run is stopped at 1.2 times its CPU limit; the host runs what ended above the limit, but below that, once more."""

BEAT_SECONDS: Final = 1.0
"""So often a worker says that it is still at a run that is beyond its wall limit in real time."""


def most_seconds(wall_seconds: float) -> float:
    """Return how long a run with this wall limit may take in real time before it counts as a fault of the machine."""
    return 60.0 + 20.0 * wall_seconds


REASONS: Final = ("exit", "answer", "cpu", "wall", "memory", "output", "protocol")
ACCOUNT: Final = struct.Struct("!B?iddQ")
"""Of one run: reason (index into `REASONS`), whether its process has ended, its wait status, CPU and wall seconds (the
latter by its own clock), memory in bytes."""

RESULT: Final = b"V"
"""A call returned; the value, encoded."""
ERROR: Final = b"E"
"""The program raised; like the next two with type, message and traceback, encoded."""
FATAL_ERROR: Final = b"F"
"""It raised where functions are defined, or in a way that leaves its process unfit for further calls."""
COMPILE_ERROR: Final = b"C"
MEMORY_ERROR: Final = b"M"
"""It ran out of memory."""
TOO_LARGE: Final = b"T"
"""A call returned more than the output limit; with type, message and traceback, encoded."""
GOES_ON: Final = (RESULT, ERROR, TOO_LARGE)
"""After any other report the process ends."""

GUARDED_BOX: Final = "0" * 16
"""Name of the scratch folder under a guard: each run has a file system of its own there."""

MAX_FRAME: Final = 512 * 2**20
_PIECE: Final = 2**16
_HEAD: Final = struct.Struct("!IcB")


class FrameError(Exception):
    """What arrived is not a message."""


def pack(kind: bytes, *blobs: bytes) -> bytes:
    """Return the message of this kind with these blobs."""
    sizes = struct.pack(f"!{len(blobs)}I", *map(len, blobs))
    return b"".join((_HEAD.pack(2 + len(sizes) + sum(map(len, blobs)), kind, len(blobs)), sizes, *blobs))


class Reader:
    """Reads messages from a blocking socket; its timeout, if any, is for each piece that arrives.

    Args:
        sock: The socket.
        wait: Called before each piece; returns when there is one, or raises.
    """

    def __init__(self, sock: socket.socket, wait: Callable[[], None] = lambda: None) -> None:
        self._socket = sock
        self._wait = wait
        self._buffer = b""

    def read(self) -> tuple[bytes, list[memoryview]]:
        """Return the next message as (kind, blobs).

        Raises:
            EOFError: the other end closed the connection.
            FrameError: these bytes are not a message.
        """
        length = int.from_bytes(self._take(4), "big")
        if not 2 <= length <= MAX_FRAME:
            raise FrameError(f"a message of {length} bytes")
        body = memoryview(self._take(length))
        kind, count = bytes(body[:1]), body[1]
        start = 2 + 4 * count
        if start > length:
            raise FrameError("a message shorter than its sizes")
        sizes = struct.unpack_from(f"!{count}I", body, 2)
        if start + sum(sizes) != length:
            raise FrameError("a message whose sizes do not add up")
        blobs = []
        for size in sizes:
            blobs.append(body[start : start + size])
            start += size
        return kind, blobs

    def _take(self, count: int) -> bytes | bytearray:
        if count <= len(self._buffer):
            taken = self._buffer[:count]
            self._buffer = self._buffer[count:]
            return taken
        if count <= _PIECE:
            while len(self._buffer) < count:
                self._buffer += self._receive(_PIECE)
            return self._take(count)
        # A large one is read to where it stays, without copies.
        whole = bytearray(count)
        view = memoryview(whole)
        view[: len(self._buffer)] = self._buffer
        view = view[len(self._buffer) :]
        self._buffer = b""
        while view:
            self._wait()
            got = self._socket.recv_into(view)
            if not got:
                raise EOFError("the connection was closed")
            view = view[got:]
        return whole

    def _receive(self, most: int) -> bytes:
        self._wait()
        piece = self._socket.recv(most)
        if not piece:
            raise EOFError("the connection was closed")
        return piece
