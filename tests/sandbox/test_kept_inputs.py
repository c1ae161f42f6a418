"""Large inputs reach a worker once, and are named after that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from mars2_env.errors import ConfigError
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.connection import KEPT_BYTES, KEPT_FROM, MAX_INPUT, Worker
from mars2_env.sandbox.docker import DockerSandbox
from mars2_env.sandbox.worker.frames import ACCOUNT, DONE, DROP, INPUT, KEEP, Reader, pack
from mars2_env.types import Call, Limits

LENGTH = "import sys\ndata = sys.stdin.read()\nprint(len(data), data[-3:])\n"
MEGABYTE = 2**20


class Peer:
    """The other end of a worker's socket: notes the size of each message by kind, and answers each input."""

    def __init__(self, sock: socket.socket) -> None:
        self.seen: list[tuple[bytes, int]] = []
        self._socket = sock
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        reader = Reader(self._socket)
        account = ACCOUNT.pack(0, True, 0, 0.0, 0.0, 0)
        while True:
            try:
                kind, blobs = reader.read()
                self.seen.append((kind, sum(map(len, blobs))))
                if kind == INPUT:
                    self._socket.sendall(pack(DONE, account, b"", b"", b""))
            except (EOFError, OSError):
                return  # the test is over

    def join(self) -> None:
        """Wait until the other end has been closed."""
        self._thread.join()

    def kinds(self) -> list[bytes]:
        return [kind for kind, _ in self.seen]


@pytest.fixture
def connected() -> Iterator[tuple[Worker, Peer]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(theirs)
        yield Worker("test", ours, lambda: None), peer
        ours.shutdown(socket.SHUT_RDWR)
        peer.join()


def test_a_large_input_is_sent_once_whatever_program_reads_it(connected: tuple[Worker, Peer]) -> None:
    worker, peer = connected
    data = b"x" * MEGABYTE
    for program in (b"one", b"two"):
        worker.open({}, program)
        for _ in range(2):
            worker.run([data], fresh=True, timeout=10)
    assert peer.kinds().count(KEEP) == 1 and peer.kinds().count(INPUT) == 4
    assert sum(size for _, size in peer.seen) < MEGABYTE + 1000


def test_a_small_input_is_sent_with_its_run(connected: tuple[Worker, Peer]) -> None:
    worker, peer = connected
    worker.open({}, b"")
    worker.run([b"x" * (KEPT_FROM - 1)], fresh=True, timeout=10)
    assert KEEP not in peer.kinds()


def test_what_was_used_longest_ago_makes_room(connected: tuple[Worker, Peer]) -> None:
    worker, peer = connected
    worker.open({}, b"")
    third = KEPT_BYTES // 3
    one, two, three, four = (bytes([n]) * third for n in range(4))
    for data in (one, two, three, one, four, one, three):  # `four` takes the place of `two`
        worker.run([data], fresh=True, timeout=10)
    assert peer.kinds().count(KEEP) == 4 and peer.kinds().count(DROP) == 1


def test_more_inputs_than_are_kept_give_the_right_outputs(docker_sandbox: Sandbox) -> None:
    inputs = [f"{n}" * (8 * MEGABYTE) + f"{n:03}" for n in range(10)] * 2
    assert sum(map(len, set(inputs))) > 64 * MEGABYTE
    runs = docker_sandbox.run(LENGTH, inputs)
    assert [run.output for run in runs] == [f"{len(text)} {text[-3:]}\n" for text in inputs]


def test_kept_inputs_do_not_count_against_a_program(one_worker: DockerSandbox) -> None:
    texts = [f"{n}" * (30 * MEGABYTE) for n in range(3)]
    limits = Limits(memory_bytes=48 * MEGABYTE)
    for _ in range(2):
        runs = one_worker.run("print(input()[:1])", [*texts, "small"], limits=Limits())
        assert [run.output for run in runs] == ["0\n", "1\n", "2\n", "s\n"]
        run = one_worker.run("print(sum(range(10)))", ["small"], limits=limits)[0]
        assert (run.status, run.output) == ("ok", "45\n") and run.memory_bytes < limits.memory_bytes


def test_a_call_takes_a_large_argument(docker_sandbox: Sandbox) -> None:
    text = "z" * (70 * MEGABYTE)
    program = "def length(text):\n    return len(text)\n"
    limits = Limits(memory_bytes=700 * MEGABYTE)
    runs = docker_sandbox.run(program, [[text], ["abc"], [text]], interface=Call("length"), limits=limits)
    assert [run.output for run in runs] == [len(text), 3, len(text)]


def test_an_input_that_is_too_large_is_refused(docker_sandbox: Sandbox) -> None:
    with pytest.raises(ConfigError, match=f"at most {MAX_INPUT}"):
        docker_sandbox.run("", ["x" * (MAX_INPUT + 1)])
