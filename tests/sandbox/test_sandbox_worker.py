"""Parts of a worker that can be tried without a container: messages, wiping, owners."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.sandbox import worker
from mars2_env.sandbox.bundle import bundle
from mars2_env.sandbox.owner import Owner
from mars2_env.sandbox.worker.cleanup import empty_folder
from mars2_env.sandbox.worker.frames import FrameError, Reader, pack
from mars2_env.sandbox.worker.watch import Buffer


def test_a_worker_is_sent_every_file_of_its_code_each_after_those_that_it_imports() -> None:
    sent = json.loads(bundle({})[4:])["modules"]
    here = {name: source for name, source in sent if source is not None}
    assert {name.rpartition(".")[2] for name in here} == {
        path.stem for path in Path(worker.__path__[0]).glob("*.py") if path.stem != "__init__"
    }
    known = set(sys.stdlib_module_names) | {"_signal"}
    for name, source in here.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module == worker.__name__:
                assert {f"{node.module}.{alias.name}" for alias in node.names} <= known, name
            elif isinstance(node, ast.ImportFrom):
                assert {str(node.module), str(node.module).partition(".")[0]} & known, name
            elif isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= known, name
        known.add(name)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.lists(st.binary(), max_size=4)), max_size=5))
def test_messages_arrive_as_they_were_sent(messages: list[tuple[bytes, list[bytes]]]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(pack(kind, *blobs) for kind, blobs in messages))
        ours.shutdown(socket.SHUT_WR)
        reader = Reader(theirs)
        assert [reader.read() for _ in messages] == messages
        with pytest.raises(EOFError):
            reader.read()


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.suppress(EOFError, FrameError):
        ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
        reader = Reader(theirs)
        while True:
            kind, blobs = reader.read()
            assert len(kind) == 1 and all(isinstance(blob, memoryview) for blob in blobs)


def test_buffers_keep_head_and_tail() -> None:
    buffer = Buffer(4, 3)
    for piece in (b"ab", b"cdef", b"ghij"):
        buffer.add(piece)
    assert buffer.text() == b"abcd\n... 3 bytes left out ...\nhij" and buffer.total == 10
    capped = Buffer(3)
    capped.add(b"abcdef")
    assert capped.text() == b"abc" and capped.total == 6


def test_a_folder_is_emptied_whatever_is_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    (outside / "file").write_text("kept")
    outside.chmod(mode := 0o751)
    box = tmp_path / "box"
    (box / "a" / "b" / "c").mkdir(parents=True)
    (box / "a" / "b" / "c" / "f").write_text("x")
    for index in range(300):
        (box / f"f{index}").write_text("x")
    os.symlink(outside, box / "link")
    os.symlink(outside, box / "a" / "link")
    os.symlink("nowhere", box / "dangling")
    os.mkfifo(box / "pipe")
    (box / b"\xff\n".decode("utf-8", "surrogateescape")).write_text("x")
    deep = os.open(box, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d" * 100, dir_fd=deep)
        deeper = os.open("d" * 100, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    for path in (box / "a" / "b", box / "a", box):
        path.chmod(0)
    empty_folder(str(box))
    assert os.listdir(box) == []
    assert (outside / "file").read_text() == "kept" and (outside / "kept").is_dir()
    assert stat.S_IMODE(outside.stat().st_mode) == mode


def test_owners_are_told_alive_from_dead() -> None:
    here = Owner.this()
    assert Owner.parse(str(here)) == here and not here.is_dead(running=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        other = Owner.of(child.pid)
        assert not other.is_dead(running=True)
        child.communicate(b"\n")
    assert other.is_dead(running=True)
    rebooted = Owner(1, "1", "another boot", here.namespace)
    assert rebooted.is_dead(running=False) and not rebooted.is_dead(running=True)
    for nonsense in ("", "x", "1/2", "a/b/c/d"):
        assert Owner.parse(nonsense) is None
