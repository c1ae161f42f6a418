"""A disk without room: one clear sentence that names the file, nothing half done, and the run goes on later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import LogError
from mars2_env.base.journal import Journal, claim, whole_lines

HERE = Path(__file__).parent


def task() -> mars2_env.Task:
    return mars2_env.task(problem_set(3), sandbox=sandbox(), budget=6)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> Path:
    """Take all of a file system but so many pages of 4 KiB."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
        file.truncate(max(file.tell() // 4096 - left, 0) * 4096)
    return ballast


@pytest.mark.parametrize("left", range(6))
def test_a_run_on_a_full_disk_ends_in_one_sentence_and_goes_on_when_there_is_room(small: Path, left: int) -> None:
    ballast = fill(small, left)
    out = small / "run"
    with pytest.raises(LogError, match=r"run.* cannot be written: No space left on device\. Make room; then the same"):
        list(mars2_env.rollout(task(), Guesser(), out=out))
    ballast.unlink()
    list(mars2_env.rollout(task(), Guesser(), out=out))
    list(mars2_env.rollout(task(), Guesser(), out=small.parent / "whole"))
    assert logs(out) == logs(small.parent / "whole")
    assert not list(out.glob("*.tmp"))


def test_an_event_that_could_not_be_written_has_no_effect(small: Path) -> None:
    env: Any = mars2_env.make(task(), out=small / "run")
    env.reset(seed=0)
    ballast = fill(small, 0)
    with pytest.raises(LogError, match="No space left"):
        while True:
            env.step({"program": f"print({len(env.episode.nodes)!r:>500})"})
    nodes, asked = len(env.episode.nodes), env.episode.asked
    (tree,) = mars2_env.read_log(small / "run")
    assert (len(tree.nodes), len(tree.events)) == (nodes, len(env.match.events))
    ballast.unlink()
    if env.turn is None:  # it was the next turn that could not be asked for
        assert asked == nodes
    else:
        env.step({"program": "print(7)"})
        assert len(env.episode.nodes) == nodes + 1
    env.close()


LIMITED = """
import resource, sys
from mars2_env.base.journal import Journal
from mars2_env.errors import LogError
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
journal = Journal(sys.argv[1])
journal.append(b"x" * 80)
for _ in range(2):
    try:
        journal.append(b"y" * 80)
    except LogError as error:
        print(error)
journal.append(b"z" * 10)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(b"w" * 80)
"""


def test_a_line_that_was_written_in_part_is_gone_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert (
        done.stdout.splitlines()
        == [f"{path} cannot be written: File too large. Make room; then the same command goes on from what is written."]
        * 2
    )
    assert whole_lines(path) == [b"x" * 80, b"z" * 10, b"w" * 80]


def test_a_claim_that_cannot_be_written_leaves_nothing(small: Path) -> None:
    ballast = fill(small, 0)
    with pytest.raises(LogError, match=r"run\.json cannot be written"):
        claim(small / "run.json", {"seed": 1})
    assert [path.name for path in small.iterdir()] == ["ballast"]
    ballast.unlink()
    claim(small / "run.json", {"seed": 1})


def test_lines_are_taken_back_from_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", alone=True)
    for line in (b"a", b"b", b"c"):
        journal.append(line)
    journal.keep(1)
    journal.append(b"d")
    assert whole_lines(tmp_path / "journal") == [b"a", b"d"]


SCRIPTED = """
import mars2_env.cli.configured as configured
from mars2_env.testing import ScriptedSandbox
configured.chosen_sandbox = lambda *given: ScriptedSandbox()
"""
MAIN = "from mars2_env.cli import main; main()"
SEARCH = ("search", "starter", "--agent", "a=noise:default", "--limit", "1", "--budget", "2", "--out", "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize(
    ("flags", "command"),
    [
        ((), ("--version",)),
        (("-u",), ("--version",)),
        ((), ("--help",)),
        ((), ("problems", "list")),
        ((), ("problems", "list", "starter", "--json")),
        ((), SEARCH),
        ((), (*SEARCH, "--json")),
    ],
)
def test_a_full_standard_output_is_one_sentence_and_costs_no_log(
    tmp_path: Path, flags: tuple[str, ...], command: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, *flags, "-c", SCRIPTED + MAIN, *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "mars2: standard output: No space left on device."
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if command[0] == "search":
        (tree,) = mars2_env.read_log(tmp_path / "run")
        assert tree.ended == "budget"
