"""A release: what it writes, what it refuses, and a whole one in a clone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("release", REPOSITORY / "scripts" / "release.py")
assert SPEC is not None and SPEC.loader is not None
release = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release)

DAY = date(2030, 1, 2)
TEXTS = {path: (REPOSITORY / path).read_text(encoding="utf-8") for path in release.FILES} | {
    "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n"
}


def test_a_release_names_its_version_in_every_file_that_names_one() -> None:
    old = release.present_version()
    after = release.edits(TEXTS, old, "9.0.0", DAY)
    assert '__version__ = "9.0.0"' in after["mars2_env/version.py"]
    assert "\nversion: 9.0.0\n" in after["CITATION.cff"]
    assert "mars2_env-9.0.0-py3-none-any.whl" in after["README.md"]
    assert old not in after["docs/install.md"]
    assert "## [Unreleased]\n\n## [9.0.0] - 2030-01-02\n\n### Added\n\n- A thing." in after["CHANGELOG.md"]


def test_a_release_without_changes_is_refused() -> None:
    empty = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2029-01-01\n\n- An old thing.\n"
    with pytest.raises(release.ReleaseError, match="nothing under"):
        release.edits({**TEXTS, "CHANGELOG.md": empty}, release.present_version(), "9.0.0", DAY)


def test_a_file_that_names_another_version_is_refused() -> None:
    with pytest.raises(release.ReleaseError, match=r"CITATION\.cff lacks 'version: "):
        release.edits({**TEXTS, "CITATION.cff": "version: 0.0.1\n"}, release.present_version(), "9.0.0", DAY)


@pytest.mark.parametrize(
    ("new", "says"),
    [
        ("0.2", "not a version of three numbers"),
        ("0.1.0", "is not above the present version"),
        ("0.0.9", "is not above the present version"),
        ("0.3.0", "there is a tag v0.3.0"),
    ],
)
def test_a_version_that_cannot_come_next_is_refused(new: str, says: str) -> None:
    with pytest.raises(release.ReleaseError, match=says):
        release.check_version(new, "0.1.0", ["v0.3.0"])
    release.check_version("0.10.0", "0.9.1", ["v0.3.0"])


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/release.py", *words]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of the repository with one commit, of the files as they are now."""
    files = git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    folder = tmp_path / "clone"
    for file in files:
        if (REPOSITORY / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes((REPOSITORY / file).read_bytes())
    git(folder, "init", "--quiet")
    git(folder, "config", "user.name", "Test")
    git(folder, "config", "user.email", "test@example.org")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")
    return folder


def test_a_tree_that_is_not_clean_is_refused_and_left_alone(clone: Path) -> None:
    (clone / "stray.txt").write_text("not committed")
    done = run(clone, "9.0.0")
    assert done.returncode == 1 and "the tree is not clean" in done.stderr and "stray.txt" in done.stderr
    assert git(clone, "status", "--porcelain") == "?? stray.txt"


def test_a_wheel_without_its_licences_is_refused_and_the_files_are_as_they_were(clone: Path) -> None:
    project = clone / "pyproject.toml"
    files = 'license-files = ["LICENSE", "NOTICE", '
    project.write_text(project.read_text(encoding="utf-8").replace('license-files = ["LICENSE", ', files))
    git(clone, "commit", "--all", "--quiet", "--message", "A licence that is not there")
    done = run(clone, "9.0.0")
    assert done.returncode == 1 and "lacks mars2_env-9.0.0.dist-info/licenses/NOTICE" in done.stderr
    assert git(clone, "status", "--porcelain") == git(clone, "tag") == ""


@pytest.mark.slow
def test_one_command_makes_a_release_that_installs_and_works_from_wheel_and_sdist(clone: Path) -> None:
    done = run(clone, "9.0.0", "--date", "2030-01-02")
    assert done.returncode == 0, done.stderr
    assert git(clone, "tag") == "v9.0.0"
    assert git(clone, "show", "--format=%s", "--name-only").split("\n") == [
        "Release 9.0.0",
        "",
        "CHANGELOG.md",
        "CITATION.cff",
        "README.md",
        "docs/install.md",
        "mars2_env/version.py",
    ]
    assert sorted(file.name for file in (clone / "dist").iterdir()) == [
        "mars2_env-9.0.0-py3-none-any.whl",
        "mars2_env-9.0.0.tar.gz",
    ]

    again = run(clone, "9.0.0")
    assert again.returncode == 1 and "there is a tag v9.0.0" in again.stderr
