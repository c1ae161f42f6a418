"""QuixBugs: the programs and tests of the real archive, and archives that mean harm."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mars2_env.errors import ConfigError, ProblemError
from mars2_env.judge import Judge
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Call, Limits


@pytest.fixture(scope="module")
def data(shared: Path) -> Path:
    return shared / "data" / "quixbugs_python.tar.gz"


@pytest.fixture(scope="module")
def quixbugs(data: Path) -> ProblemSet:
    return load_problems("quixbugs", path=data)


def test_all_40_programs_are_repair_problems(quixbugs: ProblemSet) -> None:
    assert len(quixbugs) == 40
    assert (quixbugs.split, quixbugs.use, quixbugs.left_out) == ("test", "evaluation", {})
    for problem in quixbugs:
        assert problem.seed_program and problem.reference and problem.seed_program != problem.reference
        assert problem.public and problem.hidden and not problem.scoring
        assert problem.public_view().seed_program == problem.seed_program


def test_the_tests_are_the_official_ones_but_the_two_that_are_skipped_as_too_slow(
    quixbugs: ProblemSet, data: Path
) -> None:
    with tarfile.open(data) as archive:
        for member in archive:
            if member.name.startswith("json_testcases/") and member.isfile():
                content = archive.extractfile(member)
                assert content is not None
                lines = sum(bool(line.strip()) for line in content)
                name = member.name.removeprefix("json_testcases/").removesuffix(".json")
                assert len(quixbugs[f"QuixBugs/{name}"].hidden) == lines - (name in ("knapsack", "levenshtein"))
    graphs = {
        "breadth_first_search": 5, "depth_first_search": 5, "detect_cycle": 6, "minimum_spanning_tree": 3,
        "reverse_linked_list": 3, "shortest_path_length": 4, "shortest_path_lengths": 4, "shortest_paths": 3,
        "topological_ordering": 3,
    }  # fmt: skip
    assert {name: len(quixbugs[f"QuixBugs/{name}"].hidden) for name in graphs} == graphs


def test_tests_that_build_nodes_become_plain_data(quixbugs: ProblemSet) -> None:
    cycle = quixbugs["QuixBugs/detect_cycle"]
    assert cycle.interface == Call("run")
    assert [(t.input, t.output) for t in cycle.hidden][1:4] == [
        ([{5: 4, 4: 3, 3: 2, 2: 1, 1: 5}, 5], True),
        ([{2: 1, 1: 2}, 2], True),
        ([{7: 6, 6: None}, 7], False),
    ]
    reverse = quixbugs["QuixBugs/reverse_linked_list"]
    assert [(t.input, t.output) for t in reverse.hidden] == [
        ([[5, 4, 3, 2, 1]], [1, 2, 3, 4, 5]),
        ([[0]], [0]),
        ([[]], []),
    ]
    unreachable = quixbugs["QuixBugs/shortest_path_length"].hidden[3]
    assert (unreachable.input[2:], unreachable.output) == (["1", "5"], float("inf"))


def test_the_statement_is_the_text_and_the_seed_the_program(quixbugs: ProblemSet) -> None:
    problem = quixbugs["QuixBugs/bitcount"]
    assert "a nonnegative int" in problem.statement
    assert "a nonnegative int" not in (problem.seed_program or "")
    assert [(t.input, t.output) for t in problem.public] == [([127], 7), ([128], 1)]


@pytest.mark.docker
def test_every_correct_program_passes_and_every_buggy_one_fails(quixbugs: ProblemSet, docker_sandbox: Sandbox) -> None:
    judge, short = Judge(docker_sandbox), Limits(cpu_seconds=1)  # some of the bugs are loops without end
    with ThreadPoolExecutor(4) as pool:
        right = list(pool.map(lambda p: judge.grade(p, p.reference or "", tests="all"), quixbugs))
        wrong = list(
            pool.map(lambda p: judge.grade(replace(p, limits=short), p.seed_program or "", tests="hidden"), quixbugs)
        )
    assert [p.id for p, verdict in zip(quixbugs, right, strict=True) if not verdict.passed] == []
    assert [p.id for p, verdict in zip(quixbugs, wrong, strict=True) if verdict.passed] == []


def archive(path: Path, **files: str) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/") + (".json" if name.startswith("json") else ".py"))
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("python_programs/link.py")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


DOUBLE = {
    "python_programs__double": 'def double(x):\n    return x\n\n"""\nDoubles.\n"""\n',
    "correct_python_programs__double": "def double(x):\n    return 2 * x\n",
    "python_testcases__test_double": "",
    "json_testcases__double": "[[2], 4]\n",
}


def test_an_archive_is_read_in_memory_links_are_passed_over_and_nothing_is_run(tmp_path: Path) -> None:
    path = archive(tmp_path / "q.tar.gz", **DOUBLE)
    (problem,) = load_problems("quixbugs", path=path)
    assert (problem.id, problem.hidden[0].output) == ("QuixBugs/double", 4)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"json_testcases__double": "[[2], 4]\n{}\n"}, r"double\.json, line 2, field '': '\{\}' is not \[arguments"),
        ({"json_testcases__double": "[[2], 4"}, "not JSON"),
        ({"python_programs__double": "def double(x): return x\n"}, "does not end in a text"),
        ({"python_programs__double": "def ("}, "not Python"),
        ({"python_programs__double": "#" * 2**21}, "at most 1048576"),
    ],
)
def test_errors_say_which_file_and_what(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        load_problems("quixbugs", path=archive(tmp_path / "q.tar.gz", **{**DOUBLE, **changes}))


def test_a_test_file_that_does_anything_else_is_refused(tmp_path: Path) -> None:
    files = {name: text for name, text in DOUBLE.items() if not name.startswith("json")}
    files["python_testcases__test_double"] = "def test1():\n    import os\n    assert os.system('true') == 0\n"
    with pytest.raises(ProblemError, match="a statement of an unknown form: 'import os'"):
        load_problems("quixbugs", path=archive(tmp_path / "q.tar.gz", **files))


def test_without_a_path_or_with_another_file_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="path=FOLDER or path=ARCHIVE"):
        load_problems("quixbugs")
    other = tmp_path / "x.tar.gz"
    other.write_bytes(b"nothing")
    with pytest.raises(ProblemError, match="not a gzip file"):
        load_problems("quixbugs", path=other)
