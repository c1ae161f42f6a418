"""Files and the hub: what is read as records, what is refused, and what is known about each set."""

from __future__ import annotations

import gzip
import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import mars2_env.problems.records as records
from mars2_env.errors import ConfigError, ProblemError
from mars2_env.problems import ProblemSet, duplicates, load_problems, names, without_duplicates
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.duplicates import resemblance, shingles
from mars2_env.problems.groups import shown_in
from mars2_env.problems.records import read_rows, read_whole
from mars2_env.types import Problem, TestCase

LINE = b'{"a": 1}\n'


def test_lines_arrays_gzip_and_folders_are_read_whatever_the_name_says(tmp_path: Path) -> None:
    contents = {
        "1.jsonl": LINE + b"\n" + LINE,
        "2.json": b' [{"a": 2}, {"a": NaN}]',
        "3.jsonl.gz": gzip.compress(b'[{"a": 3}]'),
        "4.json": gzip.compress(b'{"a": 4}'),
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("none")
    found = [(Path(place.path).name, place.line, place.unit, record["a"]) for place, record in read_rows(str(tmp_path))]
    assert repr(found) == repr(
        [
            ("1.jsonl", 1, "line", 1),
            ("1.jsonl", 3, "line", 1),
            ("2.json", 0, "record", 2),
            ("2.json", 1, "record", float("nan")),
            ("3.jsonl.gz", 0, "record", 3),
            ("4.json", 1, "line", 4),
        ]
    )


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", LINE + b"[1]\n", r"a\.jsonl, line 2: a JSON list, not an object"),
        ("a.jsonl", LINE + b"{\n", r"a\.jsonl, line 2: not a JSON object"),
        ("a.jsonl", b"\x00\xff\n", r"a\.jsonl, line 1: not a JSON object"),
        ("a.json", b'[{"a": 1}, 2]', r"a\.json, record 1: a JSON int, not an object"),
        ("a.json", b"[" * 100_000, r"a\.json: not JSON"),
        ("a.json", b'[{"a": 1}', r"a\.json: not JSON"),
        ("a.jsonl.gz", LINE, r"a\.jsonl\.gz: not a gzip file"),
        ("a.jsonl.gz", gzip.compress(LINE * 1000)[:-20], r"a\.jsonl\.gz: not a gzip file"),
        ("a.jsonl.gz", b"\x1f\x8b" + bytes(20), r"a\.jsonl\.gz: not a gzip file"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ProblemError, match=message):
        list(read_rows(str(path)))


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 1000)
    monkeypatch.setattr(records, "MAX_FILE_BYTES", 3000)
    monkeypatch.setattr(records, "_SMALL", 100_000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINE + b'{"a": "' + b"x" * 2000 + b'"}')
    with pytest.raises(ProblemError, match="line 2: longer than 1000 bytes"):
        list(read_rows(str(path)))
    path.write_bytes(b"[" + b" " * 4000 + b"]")
    with pytest.raises(ProblemError, match=r"more than 3000 bytes, .*Write it as lines of JSON"):
        list(read_rows(str(path)))
    path.write_bytes(gzip.compress(LINE * 1_000_000))
    with pytest.raises(ProblemError, match="holds more than 100 times its own size"):
        list(read_rows(str(path)))
    monkeypatch.setattr(records, "MAX_FILE_BYTES", 10**9)
    path.write_bytes(gzip.compress(bytes(10**7)))
    with pytest.raises(ProblemError, match="holds more than 100 times its own size"):
        read_whole(str(path))


def test_a_missing_file_and_an_empty_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the problem file .*x\.jsonl: No such file"):
        list(read_rows(str(tmp_path / "x.jsonl")))
    with pytest.raises(ConfigError, match=r"has no file that ends in \.jsonl"):
        list(read_rows(str(tmp_path)))


MBPP = {
    "task_id": 12,
    "text": "Double.",
    "code": "def double(x):\n    return 2 * x",
    "test_list": ["assert double(1) == 2", "assert double(2) == 4", "assert double(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": [],
}


def test_parquet_tables_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([MBPP]), path)
    (problem,) = load_problems("mbpp", path=path)
    assert (problem.id, len(problem.hidden)) == ("Mbpp/12", 3)
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(ProblemError, match="not a Parquet table"):
        load_problems("mbpp", path=path)


def test_the_hub_is_read_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("datasets")
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "test.jsonl").write_text(json.dumps(MBPP) + "\n", encoding="utf-8")
    (problem,) = load_problems("mbpp", hub=str(folder))
    assert (problem.id, len(problem.hidden)) == ("Mbpp/12", 3)
    with pytest.raises(ConfigError, match=r"the hub's nobody/nothing could not be read .*Without a network give path="):
        load_problems("mbpp", hub="nobody/nothing")


def test_without_datasets_or_parquet_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("mbpp", "taco --split", "livecodebench"):
        name, _, asked = name.partition(" ")
        with pytest.raises(ConfigError, match=r"pip install 'mars2-env\[datasets\]'.*Without a network give path=FILE"):
            load_problems(name, split="test" if asked else None)
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match="is a Parquet table: `pip install"):
        load_problems("mbpp", path=path)
    with pytest.raises(ConfigError, match="give path= or hub=, not both"):
        load_problems("mbpp", path=path, hub="x/y")


def test_every_set_says_its_splits_their_use_licence_and_home() -> None:
    assert set(SETS) <= set(names())
    for name, info in SETS.items():
        module, _, attribute = info.loader.partition(":")
        loader = getattr(import_module(module), attribute)
        assert {"path", "split"} <= set(inspect.signature(loader).parameters), name
        assert (import_module(module).__doc__ or "").count("\n") > 2, name
        assert info.licence and info.home and info.about, name
        for split, use in info.splits.items():
            assert use == "evaluation" or split in ("train", "prompt") or name == "starter", name
        with pytest.raises(ConfigError, match="unknown split"):
            info.choose("nope")


def test_loading_the_registry_imports_no_loader_and_no_heavy_package() -> None:
    code = (
        "import sys, mars2_env\nfrom mars2_env.problems import names\nnames()\n"
        "heavy = {'datasets', 'pyarrow', 'pandas', 'mars2_env.problems.taco', 'mars2_env.problems.starter'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_provenance_has_the_hash_of_each_file_and_is_no_part_of_the_sets_hash(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps(MBPP) + "\n", encoding="utf-8")
    second.write_text(json.dumps(MBPP | {"more": 1}) + "\n", encoding="utf-8")
    a, b = load_problems("mbpp", path=first), load_problems("mbpp", path=second)
    assert a.hash == b.hash
    assert a.provenance.licence == "CC-BY-4.0"
    ((path, digest),) = a.provenance.hashes().items()
    assert path == str(first)
    assert digest not in b.provenance.hashes().values()


def test_a_statement_shows_a_test_where_input_and_output_stand_under_their_names() -> None:
    statement = "Add 1 and 2.\n\nExample Input 1:\n1 2\n\nExample Output 1:\n3\n\nInput\n5 5\nOutput\n10\n"
    shown, chance, other, joined = (
        TestCase("1 2\n", "3"),
        TestCase("1", "2"),
        TestCase("5 5", "11"),
        TestCase("5 5", "10"),
    )
    assert shown_in(statement, [shown, chance, other, joined]) == [shown, joined]


TEXT = "find the longest run of equal letters in a text and print how long it is and where it starts"


def problems(name: str, *statements: str) -> ProblemSet:
    test = TestCase("", "")
    return ProblemSet(name, tuple(Problem(f"{name}/{i}", s, hidden=(test,)) for i, s in enumerate(statements)))


def test_near_equal_statements_are_found_and_boilerplate_is_not() -> None:
    text = TEXT
    ours = problems("ours", "Write a function to add.", text.upper() + "!", "Something else altogether, of this kind")
    theirs = problems("theirs", "Write a function to sort.", text + " Time limit: 2 s", "x")
    (pair,) = duplicates(ours, theirs)
    assert (pair.ours, pair.theirs) == ("ours/1", "theirs/1")
    assert pair.resemblance == resemblance(shingles(text), shingles(text + " Time limit: 2 s")) > 0.7
    assert duplicates(ours, theirs, threshold=0.9) == []
    kept = without_duplicates(ours, theirs)
    assert [problem.id for problem in kept] == ["ours/0", "ours/2"]
    assert kept.left_out == {"like a problem of theirs, split test": 1}
    assert without_duplicates(ours, problems("none", "y")) is ours


def test_short_statements_are_compared_as_a_whole() -> None:
    assert shingles("Add two.") == {"add two"}
    assert len(duplicates(problems("a", "Add two."), problems("b", "add TWO"))) == 1
    assert duplicates(problems("a", ""), problems("b", "add")) == []
