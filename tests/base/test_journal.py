"""A journal loses no line that was written whole, and a folder is claimed by one run."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from mars2_env import LogError
from mars2_env.base.journal import Journal, claim, read_claim, read_journal, whole_lines


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.jsonl"
    journal = Journal(path)
    journal.append(b"[1]")
    journal.append(b"[2, 3]")
    journal.close()
    assert list(read_journal(path, list[int])) == [[1], [2, 3]]
    assert list(read_journal(tmp_path / "missing.jsonl", list[int])) == []


@pytest.mark.parametrize("begun", [b"[3", b"[3]", b"x" * 200_000])
def test_a_line_that_was_cut_off_is_none_and_gone_before_the_next(tmp_path: Path, begun: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[1]\n[2]\n" + begun)
    assert list(read_journal(path, list[int])) == [[1], [2]]
    assert path.read_bytes().endswith(begun), "reading changes nothing"
    journal = Journal(path)
    assert path.read_bytes().endswith(begun), "nor does opening"
    journal.append(b"[4]")
    journal.close()
    assert whole_lines(path) == [b"[1]", b"[2]", b"[4]"]


def test_a_line_goes_out_whole_where_the_system_takes_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data)[:3]))
    journal = Journal(tmp_path / "x.jsonl")
    journal.append(b'"a rather long line"')
    monkeypatch.undo()
    journal.close()
    assert whole_lines(tmp_path / "x.jsonl") == [b'"a rather long line"']


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"[1]\n{}\n")
    with pytest.raises(LogError, match=r"x\.jsonl: line 2: "):
        list(read_journal(path, list[int]))


def test_a_writer_that_wants_a_file_for_itself_keeps_others_out(tmp_path: Path) -> None:
    first = Journal(tmp_path / "x.jsonl", alone=True)
    with pytest.raises(LogError, match="is being written by another run"):
        Journal(tmp_path / "x.jsonl", alone=True)
    first.close()
    Journal(tmp_path / "x.jsonl", alone=True).close()


def test_a_folder_is_used_for_what_it_was_claimed_for(tmp_path: Path) -> None:
    claim(tmp_path / "run" / "run.json", {"seed": 1, "team": {"a": "x"}})
    claim(tmp_path / "run" / "run.json", {"seed": 1, "team": {"a": "x"}})
    with pytest.raises(LogError, match=r"begun under another configuration: team\.a was 'x' and is now 'y'"):
        claim(tmp_path / "run" / "run.json", {"seed": 1, "team": {"a": "y"}})
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_of_many_that_claim_a_folder_at_once_one_gets_it(tmp_path: Path) -> None:
    for round in range(20):
        path, together = tmp_path / str(round) / "run.json", Barrier(8)

        def run(number: int, path: Path = path, together: Barrier = together) -> int | None:
            together.wait()
            try:
                claim(path, {"number": number})
            except LogError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            got = [number for number in pool.map(run, range(8)) if number is not None]
        assert got == [read_claim(path)["number"]]


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff"])
def test_a_claim_that_is_none_is_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(LogError, match=r"run\.json"):
        claim(tmp_path / "run.json", {"seed": 1})


def test_what_was_found_may_decide_what_is_wanted_and_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def wanted(found: dict[str, Any]) -> dict[str, Any]:
        return {"budget": 8, "sets": found["sets"]}

    claim(path, {"budget": 8, "sets": ["a"]})
    claim(path, {"budget": 8, "sets": ["b"]}, wanted=wanted, joined=lambda found: {**found, "sets": ["a", "b"]})
    assert read_claim(path) == {"budget": 8, "sets": ["a", "b"]}
