"""The layout is as CONTRIBUTING.md says: every file in a room, no import that goes up, no circle between files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = {
    "mars2_env": "",
    "mars2_launch": "agents/",
    "mars2_agents": "agents/",
    "mars2_tree": "agents/",
    "mars2_bench": "benchmarks/",
}
ROW = re.compile(r"^\| (`[^|]+`) \| [^|]+ \|$", re.MULTILINE)
MOST_LINES = 500


@cache
def rooms() -> list[tuple[str, ...]]:
    """The rooms from the ground up: of each the files and folders that it is made of, as the table lists them."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Layout")[2].partition("\n## ")[0]
    return [tuple(re.findall(r"`([^`]+)`", places)) for places in ROW.findall(text)]


def floor_of(path: str) -> int:
    """The place of a file's room in the table: that of the longest entry it lies in."""
    found = [
        (len(place), floor)
        for floor, places in enumerate(rooms())
        for place in places
        if path == place or (place.endswith("/") and path.startswith(place))
    ]
    assert found, f"{path} is in no room of CONTRIBUTING.md's table"
    return max(found)[1]


@cache
def files() -> dict[str, str]:
    """Module name -> path, of every module of the packages."""
    found = {}
    for package, parent in ROOTS.items():
        for file in (REPOSITORY / parent / package).rglob("*.py"):
            path = file.relative_to(REPOSITORY).as_posix()
            parts = path.removeprefix(parent).removesuffix(".py").removesuffix("/__init__").split("/")
            found[".".join(parts)] = path
    return found


def imported(module: str, source: str) -> Iterator[str]:
    """Yield each module of ours that a source imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files())
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide which room they lead to"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in files() and not defines(str(node.module), alias.name):
                    yield inner
                elif node.module in files():
                    yield str(node.module)


@cache
def defines(package: str, name: str) -> bool:
    """Whether a package's `__init__` has a thing of this name that is not just its submodule, such as `tasks.task`."""
    path = files().get(package, "")
    if not path.endswith("__init__.py"):
        return False
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    return any(
        name == (alias.asname or alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module != package
        for alias in node.names
    )


@cache
def arrows() -> dict[str, frozenset[str]]:
    """Path -> the paths that it imports, as all sources say."""
    return {
        path: frozenset(files()[other] for other in imported(module, (REPOSITORY / path).read_text(encoding="utf-8")))
        - {path}
        for module, path in files().items()
    }


def test_every_room_of_the_table_is_there_and_every_file_is_in_one() -> None:
    for places in rooms():
        for place in places:
            assert (REPOSITORY / place).exists(), f"CONTRIBUTING.md's table has a room {place}, which is not there"
    assert len(arrows()) > 150
    for path in arrows():
        floor_of(path)


def test_no_import_goes_up() -> None:
    upward = [
        f"{path} -> {other}"
        for path, others in arrows().items()
        for other in others
        if floor_of(other) > floor_of(path)
    ]
    assert not upward, "these import a room that stands further down in CONTRIBUTING.md's table"


def test_no_files_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(path: str, way: tuple[str, ...]) -> None:
        assert path not in way, f"a circle: {' -> '.join([*way[way.index(path) :], path])}"
        if path not in done:
            for other in sorted(arrows()[path]):
                visit(other, (*way, path))
            done.add(path)

    for path in sorted(arrows()):
        visit(path, ())


def test_no_class_is_too_long_to_be_read_at_once() -> None:
    for path in arrows():
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= MOST_LINES, f"{path}: class {node.name} has {lines} lines"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("import mars2_env.keys", None),
        ("import mars2_env.base.keys", "mars2_env/base/keys.py"),
        ("from mars2_env.base import keys", "mars2_env/base/keys.py"),
        ("from mars2_env.base.keys import seed", "mars2_env/base/keys.py"),
        ("from mars2_env.tasks import task", "mars2_env/tasks/__init__.py"),
        ("def f():\n    from mars2_env.envs import TreeSearchAEC", "mars2_env/envs/__init__.py"),
        ("if TYPE_CHECKING:\n    from mars2_env.log import Tree", "mars2_env/log/__init__.py"),
        ("import numpy", None),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, path: str | None) -> None:
    assert [files()[module] for module in imported("x", source)] == ([] if path is None else [path])
