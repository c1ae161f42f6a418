"""Our JSON-lines format: what is written is read back, and every fault is named with file, line and field."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import equal
from mars2_env.problems import (
    ProblemSet,
    load_problems,
    names,
    register_problems,
    split_tests,
    write_jsonl,
)
from mars2_env.problems.plain import from_json, problem_line, to_json
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.types import Call, Limits, Problem, TestCase

VALUES = [
    None, True, 0, -3, 2**53 + 1, -(10**40), 0.5, nan, inf, -inf, 1 + 2j, "text", "\ud800", b"\x00\xff",
    [], [1, [2]], (), (1,), set(), {3, 1, 2}, frozenset({1}), {}, {"k": 1}, {"t": [1]}, {"o": "T"}, {"t": 1, "s": 2},
    {1: "a", (2, 3): {"x"}}, [{"deep": ({1: [None]},)}],
]  # fmt: skip

PROBLEMS = (
    Problem(
        "tiny/0",
        "Say it twice: \u00fc \u201cquoted\u201d.\n",
        public=(TestCase("a\n", "aa\n"),),
        scoring=(TestCase("b", "bb"),),
        hidden=(TestCase("", ""), TestCase("\u00fc", "\u00fc\u00fc")),
        limits=Limits(cpu_seconds=0.5, wall_seconds=2, memory_bytes=10**8, output_bytes=1000, processes=3),
        checker="any",
        starter_code="import sys\n",
        reference="print(2 * input())\n",
        metadata={"band": "easy", "tags": ("x", 1), "nan": nan},
    ),
    Problem("tiny/1", "Anything.", Call("f"), public=tuple(TestCase([v, [v]], v) for v in VALUES)),
)
TINY = ProblemSet("tiny", PROBLEMS, split="train", use="training", left_out={"too long": 2})


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_written_set_is_read_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    write_jsonl(TINY, path)
    found = load_problems(path)
    assert (found.name, found.split, found.use, found.left_out) == ("tiny", "train", "training", {"too long": 2})
    assert [problem_line(problem) for problem in found] == [problem_line(problem) for problem in TINY]
    assert found["tiny/0"].metadata["tags"] == ("x", 1)
    assert replace(found["tiny/0"], metadata={}) == replace(PROBLEMS[0], metadata={})
    for test, v in zip(found["tiny/1"].public, VALUES, strict=True):
        assert equal(test.output, v, strict=True)
        assert equal(test.input, [v, [v]], strict=True)
    again = tmp_path / f"again{suffix}"
    write_jsonl(found, again)
    assert again.read_bytes() == path.read_bytes()


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text(max_size=2) | st.integers() | st.tuples(st.integers()), inner)
    | st.sets(st.integers() | st.text(max_size=2)),
    max_leaves=10,
))  # fmt: skip
def test_plain_data_survive_json(value: Any) -> None:
    text = json.dumps(to_json(value), allow_nan=False)
    assert equal(from_json(json.loads(text)), value, strict=True)


def test_only_plain_data_are_written(tmp_path: Path) -> None:
    for bad in (object(), Opaque("T"), [Opaque("T")], {Opaque("T")}):
        problem = Problem("p", "s", metadata={"bad": bad})
        with pytest.raises(ProblemError, match="'p' cannot be written as JSON"):
            write_jsonl(ProblemSet("x", (problem,)), tmp_path / "x.jsonl")


def test_the_hash_is_of_all_that_decides_results_and_nothing_else(tmp_path: Path) -> None:
    write_jsonl(TINY, tmp_path / "x.jsonl")
    assert TINY.hash == load_problems(tmp_path / "x.jsonl").hash
    assert len(TINY.hash) == 64
    assert replace(TINY, name="other", left_out={}).hash == TINY.hash
    first, second = PROBLEMS
    variants = [
        replace(TINY, split="test"),
        replace(TINY, use="evaluation"),
        replace(TINY, problems=(second, first)),
        replace(TINY, problems=(first,)),
        *(
            replace(TINY, problems=(replace(first, **change), second))
            for change in (
                {"id": "tiny/2"}, {"statement": "x"}, {"public": ()}, {"hidden": first.hidden[::-1]}, {"checker": None},
                {"starter_code": ""}, {"limits": Limits()}, {"reference": None}, {"metadata": {}},
            )
        ),
        replace(TINY, problems=(first, replace(second, interface=Call("g")))),
        replace(TINY, problems=(first, replace(second, public=(TestCase([1], 1),)))),
        replace(TINY, problems=(first, replace(second, public=(TestCase([1], 1.0),)))),
    ]  # fmt: skip
    assert len({TINY.hash, *(variant.hash for variant in variants)}) == len(variants) + 1


def write(path: Path, *lines: Any) -> str:
    path.write_text("".join((li if isinstance(li, str) else json.dumps(li)) + "\n" for li in lines), encoding="utf-8")
    return str(path)


MINIMAL = {"id": "a", "statement": "s", "public": [{"input": "1", "output": "2"}]}
CALL = {"id": "c", "statement": "s", "interface": {"call": "f"}}


def test_a_minimal_file_needs_no_first_line(tmp_path: Path) -> None:
    found = load_problems(write(tmp_path / "mine.jsonl", MINIMAL, "", MINIMAL | {"id": "b"}))
    assert (found.name, found.split, found.use) == ("mine", "test", "evaluation")
    assert found["b"].public == (TestCase("1", "2"),)
    assert load_problems("jsonl", path=tmp_path / "mine.jsonl").hash == found.hash


def test_unsplit_tests_of_a_training_set_are_split_and_too_few_are_counted(tmp_path: Path) -> None:
    tests = [{"input": str(i), "output": str(i)} for i in range(9)]
    few = {"id": "few", "statement": "s", "tests": tests[:2]}
    path = write(tmp_path / "x.jsonl", {"id": "many", "statement": "s", "tests": tests}, few)
    found = load_problems(path)
    assert (found.use, found.split, found.left_out) == ("training", "train", {"fewer than 3 tests": 1})
    problem = found["many"]
    assert (problem.public, problem.scoring, problem.hidden) == split_tests(
        "many", [TestCase(str(i), str(i)) for i in range(9)]
    )
    held = load_problems(path, use="evaluation")["many"]
    assert (len(held.public), len(held.scoring), len(held.hidden)) == (2, 0, 9)


@pytest.mark.parametrize(
    ("n", "sizes"), [(3, (1, 1, 1)), (4, (1, 1, 2)), (8, (2, 3, 3)), (9, (3, 3, 3)), (30, (3, 13, 14))]
)
def test_tests_are_split_in_three(n: int, sizes: tuple[int, int, int]) -> None:
    tests = [TestCase(str(i), "") for i in range(n)]
    groups = split_tests("p", tests)
    assert tuple(map(len, groups)) == sizes
    assert groups[0] == tuple(tests[: sizes[0]])
    assert sorted((t for group in groups for t in group), key=tests.index) == tests
    for group in groups:
        assert list(group) == sorted(group, key=tests.index)
    assert groups == split_tests("p", tests)


def test_the_split_depends_on_the_problem_and_needs_three_tests() -> None:
    tests = [TestCase(str(i), "") for i in range(30)]
    assert split_tests("p", tests) != split_tests("q", tests)
    scoring = "4 6 8 9 12 15 18 21 22 23 24 28 29"
    assert " ".join(t.input for t in split_tests("p", tests)[1]) == scoring
    with pytest.raises(ProblemError, match="'p' has 2 tests"):
        split_tests("p", tests[:2])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r": not a JSON object"),
        ("[1]", r": a JSON list, not an object"),
        ('{"id": NaN}', r": not a JSON object \(NaN is not JSON"),
        ('{"id": 1e999}', r": not a JSON object \(1e999 is beyond"),
        ("[" * 100_000, r": not a JSON object"),
        ({"statement": "s"}, r"field 'id': is missing"),
        ({"id": "b"}, r"field 'statement': is missing"),
        (MINIMAL | {"id": ""}, r"field 'id': must be a non-empty text"),
        (MINIMAL | {"id": 3}, r"field 'id': must be a non-empty text, not 3"),
        (MINIMAL, r"field 'id': 'a' occurs in line 1 too"),
        (MINIMAL | {"id": "b", "pubic": []}, r"field 'pubic': unknown field 'pubic'\. Did you mean 'public'"),
        (MINIMAL | {"id": "b", "interface": "stdout"}, r"field 'interface': must be \"stdin\" or"),
        (MINIMAL | {"id": "b", "interface": {"call": "a b"}}, r"field 'interface': .*identifier"),
        (MINIMAL | {"id": "b", "public": {}}, r"field 'public': must be a list"),
        (MINIMAL | {"id": "b", "public": [{"input": "x"}]}, r"field 'public\[0\]': must be"),
        (MINIMAL | {"id": "b", "public": [{"input": "x", "output": 3}]}, r"field 'public\[0\].output': must be a text"),
        (MINIMAL | {"id": "b", "public": []}, r"field 'public': the problem has no tests at all"),
        (MINIMAL | {"id": "b", "tests": []}, r"field 'public': give either tests"),
        (MINIMAL | {"id": "b", "limits": []}, r"field 'limits': must be an object"),
        (MINIMAL | {"id": "b", "limits": {"cpu": 3}}, r"field 'limits': unknown limit 'cpu'"),
        (MINIMAL | {"id": "b", "limits": {"cpu_seconds": -3}}, r"field 'limits': .*finite number above 0"),
        (MINIMAL | {"id": "b", "metadata": 3}, r"field 'metadata': must be an object"),
        (MINIMAL | {"id": "b", "metadata": {"x": {"t": 3}}}, r"field 'metadata': not plain data"),
        (CALL | {"hidden": [{"input": 3, "output": 3}]}, r"field 'hidden\[0\].input': must be a list of positional"),
        (CALL | {"hidden": [{"input": [], "output": {"s": [[]]}}]}, r"field 'hidden\[0\].output': not plain data"),
        (CALL | {"hidden": [{"input": [], "output": {"b": "?"}}]}, r"field 'hidden\[0\].output': not plain data"),
        (MINIMAL | {"id": "b", "checker": 3}, r"field 'checker': must be a text"),
    ],
)
def test_faults_are_named_with_file_line_and_field(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(ProblemError, match=r"x\.jsonl, line 2\b.*" + message):
        load_problems(write(tmp_path / "x.jsonl", MINIMAL, line))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"nme": "x"}, "unknown key 'nme'"),
        ({"name": 3}, "name must be a text"),
        ({"use": "fun"}, "unknown use 'fun'"),
        ({"left_out": {"x": "y"}}, "left_out must map"),
        (3, "the first line is"),
    ],
)
def test_faults_of_the_first_line_are_named(tmp_path: Path, header: Any, message: str) -> None:
    with pytest.raises(ProblemError, match=rf"x\.jsonl, line 1, field 'problem_set': {message}"):
        load_problems(write(tmp_path / "x.jsonl", {"problem_set": header}, MINIMAL))


def test_an_evaluation_set_has_no_scoring_tests(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", {"problem_set": {"use": "evaluation"}}, MINIMAL | {"scoring": MINIMAL["public"]})
    with pytest.raises(ProblemError, match="line 2, field 'scoring': an evaluation set has no scoring tests"):
        load_problems(path)


def test_an_empty_missing_or_other_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"x\.jsonl: the file holds no problems"):
        load_problems(write(tmp_path / "x.jsonl"))
    with pytest.raises(ConfigError, match=r"cannot read the problem file .*none\.jsonl: No such file"):
        load_problems(tmp_path / "none.jsonl")
    (tmp_path / "x.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(ProblemError, match=r"x\.jsonl\.gz: not a gzip file"):
        load_problems(tmp_path / "x.jsonl.gz")
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ProblemError, match=r"x\.jsonl, line 1: not a JSON object"):
        load_problems(tmp_path / "x.jsonl")


def test_a_file_of_another_split_is_refused(tmp_path: Path) -> None:
    write_jsonl(TINY, tmp_path / "x.jsonl")
    assert load_problems(tmp_path / "x.jsonl", split="train").split == "train"
    with pytest.raises(ConfigError, match="says split 'train'; 'test' was asked for"):
        load_problems(tmp_path / "x.jsonl", split="test")


def test_unknown_names_and_options_say_what_is_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown problem set 'humanevil'\. Did you mean 'humaneval'"):
        load_problems("humanevil")
    with pytest.raises(ConfigError, match=r"'jsonl': got an unexpected keyword argument 'skip'\. Its options: use"):
        load_problems("jsonl", path="x", skip=1)
    with pytest.raises(ConfigError, match="give path="):
        load_problems("jsonl")
    with pytest.raises(ConfigError, match="the name is a file already"):
        load_problems("x.jsonl", path="y.jsonl")
    (tmp_path / "x.json").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"ends in \.jsonl"):
        load_problems(tmp_path / "x.json")
    assert {"starter", "humaneval", "jsonl"} <= set(names())


def test_a_registered_loader_is_called_with_its_options() -> None:
    def loader(*, path: str | None = None, split: str | None = None, size: int = 1) -> ProblemSet:
        problems = tuple(Problem(f"p/{i}", "s", public=(TestCase("", ""),)) for i in range(size))
        return ProblemSet("registered", problems, split=split or "train")

    register_problems("test-registered", loader)
    register_problems("test-registered", loader)
    assert len(load_problems("test-registered", size=3, split="test")) == 3
    with pytest.raises(ConfigError, match="'test-registered' is registered already"):
        register_problems("test-registered", lambda **options: TINY)
    with pytest.raises(ConfigError, match="'humaneval' is registered already"):
        register_problems("humaneval", loader)
    register_problems("test-broken", lambda **options: None)
    with pytest.raises(ConfigError, match="'test-broken' returned NoneType, not a ProblemSet"):
        load_problems("test-broken")


def test_an_installed_package_offers_sets_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "offering-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[mars2_env.problems]\noffered = offering:load\n", encoding="utf-8")
    (tmp_path / "offering.py").write_text(
        "from mars2_env.problems import ProblemSet\n"
        "def load(*, path=None, split=None): return ProblemSet('offered', ())\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert "offered" in names()
    assert load_problems("offered").name == "offered"


@pytest.mark.parametrize("given", [5, "ab", {"a": 1}, None])
def test_tests_that_are_no_sequence_are_refused_by_name(given: Any) -> None:
    with pytest.raises(ProblemError, match="public"):
        Problem("p", "", public=given)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("limits", {"cpu": 1}, "unknown limit 'cpu'"),
        ("limits", {"cpu_seconds": -1}, "Limits(cpu_seconds=-1)"),
        ("metadata", {"a": {"o": 1, "t": 2, "b": {"b": 3}}}, "not plain data"),
        ("metadata", 3, "must be an object"),
        ("statement", "\ud800", "a lone surrogate"),
        ("id", "a\ud800", "a lone surrogate"),
        ("starter_code", "\ud800", "a lone surrogate"),
        ("seed_program", "\ud800", "a lone surrogate"),
    ],
)
def test_the_field_to_blame_is_named_once(tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = tmp_path / "x.jsonl"
    record = {"id": "p", "statement": "s", "hidden": [{"input": "", "output": ""}], field: value}
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(ProblemError) as caught:
        load_problems(str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}, line 1, field '{field}': ")
    assert message in said
    assert said.count("line 1") == 1
