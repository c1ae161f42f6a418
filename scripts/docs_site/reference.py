"""The reference: a page for each package, which mkdocstrings fills from docstrings, and one of the public names."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import mars2_env

ROOTS: Final = {"mars2_env": "", "mars2_agents": "agents/", "mars2_tree": "agents/", "mars2_bench": "benchmarks/"}
"""Package -> the folder of the repository in which it lies."""


def modules(repository: Path) -> dict[str, str]:
    """Return module name -> path in the repository, of all modules that can be imported, packages included."""
    found = {}
    for root, parent in ROOTS.items():
        for file in sorted((repository / parent / root).rglob("*.py")):
            inside = file.relative_to(repository / parent)
            folders = [repository / parent / folder for folder in inside.parents if folder.name]
            if file.stem != "__main__" and all((folder / "__init__.py").is_file() for folder in folders):
                name = ".".join(inside.with_suffix("").parts).removesuffix(".__init__")
                found[name] = file.relative_to(repository).as_posix()
    return found


def package_of(module: str, path: str) -> str:
    """Return the package on whose page a module is described: itself if it is one, else the one that it lies in."""
    return module if path.endswith("/__init__.py") else module.rpartition(".")[0]


def places(repository: Path) -> dict[str, str]:
    """Return place on the site of every source, and of what it defines.

    Keys are `PATH`, led to `api/PACKAGE.md#MODULE`, and `PATH::NAME`, led to `api/PACKAGE.md#MODULE.NAME` (of a method,
    to its class).
    """
    found = {}
    for name, path in modules(repository).items():
        home = found[path] = f"api/{package_of(name, path)}.md#{name}"
        for node in ast.parse((repository / path).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                found[f"{path}::{node.name}"] = f"{home}.{node.name}"
                inner = [method for method in node.body if isinstance(method, ast.FunctionDef)]
                found |= {
                    f"{path}::{method.name}": f"{home}.{node.name}" for method in inner if method.name != "__init__"
                }
    return found


def package_pages(repository: Path) -> dict[str, str]:
    """Return page -> text, of every package: what it says of itself, then its modules one after the other."""
    members: dict[str, list[str]] = {}
    for name, path in modules(repository).items():
        members.setdefault(package_of(name, path), []).append(name)
    return {f"api/{package}.md": _package_page(package, names) for package, names in sorted(members.items())}


def _package_page(package: str, names: list[str]) -> str:
    parts = [f"# {package}\n", f"::: {package}\n    options:\n      members: false\n      show_root_heading: false\n"]
    parts += [f"::: {name}\n    options:\n      heading_level: 2\n" for name in sorted(names) if name != package]
    return "\n".join(parts)


def names_page() -> str:
    """Return the page of the names that `import mars2_env` gives, each with its first line and a way to the rest."""
    rows = "\n".join(_name_rows())
    return (
        "# Public names\n\n"
        "What `import mars2_env` gives. The packages below it have a page each, and so have `mars2_agents` (policies, "
        "learners, algorithms), `mars2_tree` (an environment for verifiers) and `mars2_bench` "
        f"(benchmarks).\n\n| name | |\n|---|---|\n{rows}\n"
    )


def _name_rows() -> Iterator[str]:
    for name in mars2_env.__all__:
        thing = getattr(mars2_env, name)
        home = getattr(thing, "__module__", None)
        if home is None:  # a plain value, such as the version
            continue
        first = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        yield f"| [`{name}`][{home}.{name}] | {first} |"
