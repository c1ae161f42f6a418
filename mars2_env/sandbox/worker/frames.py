"""Messages between the host and a worker: a kind and a few blobs of bytes, with their lengths in front.

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
    K clean   []                             nothing is left of the process behind the last D
    F fault   [message]                      the worker gives up; it exits
"""

from __future__ import annotations

import socket
import struct
from typing import Final

OPEN: Final = b"O"
INPUT: Final = b"I"
CLOSE: Final = b"C"
KEEP: Final = b"P"
DROP: Final = b"X"
READY: Final = b"R"
DONE: Final = b"D"
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

REASONS: Final = ("exit", "answer", "cpu", "wall", "memory", "output", "protocol")
ACCOUNT: Final = struct.Struct("!B?iddQ")
"""Of one run: reason (index into `REASONS`), whether its process has ended, its wait status, CPU and wall seconds,
memory in bytes."""

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
    """Reads messages from a blocking socket; its timeout, if any, is for each piece that arrives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
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
            got = self._socket.recv_into(view)
            if not got:
                raise EOFError("the connection was closed")
            view = view[got:]
        return whole

    def _receive(self, most: int) -> bytes:
        piece = self._socket.recv(most)
        if not piece:
            raise EOFError("the connection was closed")
        return piece
