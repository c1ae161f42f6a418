"""What the files beside the code say of it: the version to cite, the extras that are offered, the links."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import mars2_env

REPOSITORY = Path(__file__).parents[1]


def text(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def extras() -> dict[str, list[str]]:
    found: dict[str, list[str]] = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    return found


def test_the_version_to_cite_is_the_version() -> None:
    assert re.findall(r"^version: (.*)$", text("CITATION.cff"), re.MULTILINE) == [mars2_env.__version__]
    for page in ("README.md", "docs/install.md"):
        assert set(re.findall(r"mars2_env-([0-9.]+)-py3-none-any\.whl", text(page))) == {mars2_env.__version__}


@pytest.mark.parametrize("paper", ["2602.07848", "2604.14564"])
def test_both_papers_are_named(paper: str) -> None:
    assert paper in text("CITATION.cff")
    assert paper in text("README.md")


FOR_THIS_REPOSITORY = {"dev", "docs"}  # what its tests and its site are made with; users need neither


def test_every_extra_is_offered_and_no_other() -> None:
    offered = text("docs/install.md").partition("Extras: ")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z0-9]+)`", offered)) == set(extras()) - FOR_THIS_REPOSITORY


@pytest.mark.parametrize("extra", sorted(set(extras()) - FOR_THIS_REPOSITORY))
def test_behind_every_extra_is_code_that_uses_it(extra: str) -> None:
    packages = [re.split(r"[\[<>=]", line)[0] for line in extras()[extra] if not line.startswith("mars2-env")]
    sources = "".join(
        file.read_text(encoding="utf-8")
        for room in ("mars2_env", "agents", "benchmarks", "tests")
        for file in (REPOSITORY / room).rglob("*.py")
    )
    # one is enough: others may be what that one needs in turn
    used = [package for package in packages if re.search(rf"\b{package.replace('-', '_')}\b", sources)]
    assert used, f"nothing here uses what the extra {extra} brings"


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text(page)):
        assert target.startswith("https://") or (REPOSITORY / target).exists(), target
