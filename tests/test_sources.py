"""No source reads data in a way that can run what the data says, or unpacks an archive wherever it likes.

Each exception is listed below with the reason why no data of others reaches it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

FOLDERS: Final = ("mars2_env", "agents", "benchmarks", "examples", "scripts")
LOADERS: Final = frozenset(
    {"pickle", "_pickle", "cPickle", "shelve", "marshal", "dill", "cloudpickle", "joblib", "jsonpickle", "yaml"}
)
RUNNERS: Final = frozenset({"eval", "exec", "__import__"})
UNPACKERS: Final = frozenset({"extractall", "extract", "unpack_archive"})

ALLOWED: Final = {
    ("mars2_env/sandbox/worker/driver.py", "exec"): "runs the candidate, as a process of its own inside the sandbox",
    ("mars2_env/sandbox/worker/zygote.py", "exec"): "a constant of two lines, to warm the interpreter up",
    ("mars2_env/sandbox/worker/zygote.py", "marshal"): "settings from the supervisor, read before the candidate begins",
    ("mars2_env/sandbox/worker/supervisor.py", "marshal"): "writes these settings, and reads nothing with it",
    ("mars2_env/sandbox/bubblewrap.py", "extractall"): "an archive of this host's own files, written a line above",
    (
        "benchmarks/mars2_bench/speed/floor.py",
        "exec",
    ): "runs a program of the benchmark's own",
    ("benchmarks/mars2_bench/speed/expansion.py", "pickle"): "measures what is pickled, and reads nothing with it",
    (
        "benchmarks/mars2_bench/training/world.py",
        "eval",
    ): "expressions of the benchmark's own, which stand in this file",
    ("mars2_env/testing/contracts/problem_set.py", "pickle"): "a test: it reads back what it has just written",
}


def findings(source: str) -> Iterator[str]:
    """Yield the name of each thing in a source that is on one of the lists."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from LOADERS.intersection(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = {alias.name for alias in node.names}
            yield from LOADERS.intersection({str(node.module).partition(".")[0]})
            yield from names & (RUNNERS | UNPACKERS | {"read_pickle"} if node.module != PICKLES else set())
        elif isinstance(node, ast.Name) and node.id in RUNNERS:
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "builtins":
            yield from RUNNERS & {node.attr}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _call(node, node.func)


PICKLES: Final = "mars2_env.problems.pickled"
"""The reader that can build nothing but plain data, which has a name in common with that of pandas."""


def _call(node: ast.Call, function: ast.Attribute) -> Iterator[str]:
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    owner = function.value.id if isinstance(function.value, ast.Name) else ""
    if function.attr in UNPACKERS and given.get("filter") != "'data'":
        yield function.attr
    if function.attr == "read_pickle" or (owner == "torch" and function.attr == "load" and not _plain(given)):
        yield f"{owner}.{function.attr}"
    if "allow_pickle" in given and given["allow_pickle"] != "False":
        yield "allow_pickle"
    if given.get("trust_remote_code", "False") != "False":
        yield "trust_remote_code"


def _plain(given: dict[str | None, str]) -> bool:
    return given.get("weights_only") == "True"


def found_in(repository: Path) -> set[tuple[str, str]]:
    sources = [path for folder in FOLDERS for path in sorted((repository / folder).rglob("*.py"))]
    assert len(sources) > 80
    return {
        (path.relative_to(repository).as_posix(), name)
        for path in sources
        for name in findings(path.read_text(encoding="utf-8"))
    }


def test_nothing_runs_what_data_says_but_for_the_listed_exceptions(repository: Path) -> None:
    found = found_in(repository)
    assert not found - ALLOWED.keys(), "list it with a reason why it is safe, or read the data in another way"
    assert not ALLOWED.keys() - found, "these exceptions are not needed any more"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import pickle", "pickle"),
        ("def f():\n    from pickle import loads", "pickle"),
        ("import yaml as y", "yaml"),
        ("f = eval", "eval"),
        ("import builtins\nbuiltins.exec('1')", "exec"),
        ("from builtins import eval as e", "eval"),
        ("archive.extractall(path)", "extractall"),
        ("archive.extractall(path, filter='tar')", "extractall"),
        ("shutil.unpack_archive(a, b)", "unpack_archive"),
        ("from shutil import unpack_archive", "unpack_archive"),
        ("pandas.read_pickle(path)", "pandas.read_pickle"),
        ("from pandas import read_pickle", "read_pickle"),
        ("torch.load(path)", "torch.load"),
        ("numpy.load(path, allow_pickle=True)", "allow_pickle"),
        ("AutoModel.from_pretrained(x, trust_remote_code=True)", "trust_remote_code"),
    ],
)
def test_the_search_finds(source: str, name: str) -> None:
    assert name in list(findings(source))


@pytest.mark.parametrize(
    "source",
    [
        "archive.extractall(path, filter='data')",
        "model.eval()",
        "torch.load(path, weights_only=True)",
        "archive.extractfile(member)",
        "from mars2_env.problems.pickled import read_pickle",
        "import pickletools",
        "re.compile('x').exec",
    ],
)
def test_the_search_passes_over(source: str) -> None:
    assert not list(findings(source))
