"""Prepare a release: `make release VERSION=0.2.0`. Nothing leaves this machine.

It checks the tree, writes the version wherever it stands (`mars2_env/version.py`, `CITATION.cff`, README, the page on
installing) and a dated heading into `CHANGELOG.md`, builds wheel and sdist into `dist/`, looks into both, installs each
into an empty environment and tries it there, and only then commits and tags. Where a step fails, or with `--dry-run`,
the files are as they were before.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
FILES: Final = ("mars2_env/version.py", "CITATION.cff", "README.md", "docs/install.md", "CHANGELOG.md")
TRIED: Final = "import mars2_env, mars2_agents, mars2_bench; mars2_env.make().close()"


class ReleaseError(Exception):
    """The release cannot be made; the message says why, and what to do."""


def edits(texts: Mapping[str, str], old: str, new: str, today: date) -> dict[str, str]:
    """Return the files of a release: each text with the new version in it.

    Args:
        texts: path -> text of every one of `FILES`.
        old: the version that they name.
        new: the version of the release.
        today: the day that the changelog gets.

    Raises:
        ReleaseError: a file does not name the old version, or the changelog has nothing new.
    """
    ways = {
        "mars2_env/version.py": (f'__version__ = "{old}"', f'__version__ = "{new}"'),
        "CITATION.cff": (f"\nversion: {old}\n", f"\nversion: {new}\n"),
        "README.md": (f"mars2_env-{old}-py3", f"mars2_env-{new}-py3"),
        "docs/install.md": (f"mars2_env-{old}-py3", f"mars2_env-{new}-py3"),
        "CHANGELOG.md": ("## [Unreleased]\n", f"## [Unreleased]\n\n## [{new}] - {today.isoformat()}\n"),
    }
    for path, (before, _) in ways.items():
        if before not in texts[path]:
            raise ReleaseError(f"{path} lacks {before.strip()!r}; mend it.")
    changes = texts["CHANGELOG.md"].partition("## [Unreleased]\n")[2].partition("\n## [")[0]
    if not re.search(r"^- ", changes, re.MULTILINE):
        raise ReleaseError("CHANGELOG.md has nothing under [Unreleased]; write down what changed.")
    return {path: texts[path].replace(before, after) for path, (before, after) in ways.items()}


def check_version(new: str, old: str, tags: list[str]) -> None:
    """Check that a version may come next.

    Raises:
        ReleaseError: it is no version, is not above the present one, or is released.
    """
    found, present = VERSION.fullmatch(new), VERSION.fullmatch(old)
    if found is None or present is None:
        raise ReleaseError(f"{new!r} is not a version of three numbers, such as 0.2.0.")
    if f"v{new}" in tags:
        raise ReleaseError(f"there is a tag v{new} already; choose a higher version.")
    if tuple(map(int, found.groups())) <= tuple(map(int, present.groups())):
        raise ReleaseError(f"{new} is not above the present version, {old}.")


def check_wheel(wheel: Path, version: str, licences: list[str]) -> None:
    """Check that a wheel is of this version and holds its licences.

    Raises:
        ReleaseError: something is missing.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"mars2_env-{version}.dist-info/METADATA").decode()
    wanted = [f"mars2_env-{version}.dist-info/licenses/{licence}" for licence in licences]
    _all_in(names, [*wanted, "mars2_env/py.typed", "mars2_env/sandbox/seccomp.json"], wheel)
    if f"\nVersion: {version}\n" not in metadata:
        raise ReleaseError(f"{wheel.name} does not say that it is version {version}.")


def check_sdist(sdist: Path, version: str, licences: list[str]) -> None:
    """Check that an sdist holds what a wheel is made from, its licences and its tests.

    Raises:
        ReleaseError: something is missing.
    """
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    wanted = [*licences, "pyproject.toml", "README.md", "CHANGELOG.md", "CITATION.cff", "mars2_env/version.py"]
    _all_in(names, [f"mars2_env-{version}/{path}" for path in [*wanted, "tests/test_packaging.py"]], sdist)


def _all_in(names: list[str], wanted: list[str], archive: Path) -> None:
    if missing := sorted(set(wanted) - set(names)):
        raise ReleaseError(f"{archive.name} lacks {', '.join(missing)}; see what pyproject.toml includes.")


def check_installed(archive: Path, version: str) -> None:
    """Install a wheel or an sdist into an empty environment, with core dependencies alone, and try it there.

    Raises:
        ReleaseError: it does not install, or does not work.
    """
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        bin_ = Path(folder) / "venv" / "bin"
        pip = [str(bin_ / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
        _run([*pip, "--constraint", str(REPOSITORY / "constraints.txt"), str(archive)], folder)
        said = _run([str(bin_ / "mars2"), "--version"], folder)
        if said.strip() != f"mars2_env {version}":
            raise ReleaseError(f"{archive.name} says of itself {said.strip()!r}.")
        _run([str(bin_ / "mars2"), "problems", "list"], folder)
        _run([str(bin_ / "python"), "-W", "error", "-c", TRIED], folder)


def build(folder: Path) -> tuple[Path, Path]:
    """Build wheel and sdist into a folder; the same commit gives the same bytes."""
    when = _git("log", "-1", "--format=%ct")
    found = []
    for target, pattern in (("wheel", "*.whl"), ("sdist", "*.tar.gz")):
        with tempfile.TemporaryDirectory() as fresh:
            command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", fresh]
            _run(command, str(REPOSITORY), SOURCE_DATE_EPOCH=when)
            (built,) = Path(fresh).glob(pattern)
            folder.mkdir(parents=True, exist_ok=True)
            found.append(folder / built.name)
            found[-1].write_bytes(built.read_bytes())
    return found[0], found[1]


def _run(command: list[str], folder: str, **more: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | more
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _git(*words: str) -> str:
    return _run(["git", *words], str(REPOSITORY)).strip()


def present_version() -> str:
    """Return the version that the sources have."""
    text = (REPOSITORY / "mars2_env" / "version.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def release(new: str, *, today: date, dry_run: bool, out: Path) -> None:
    """Prepare a release.

    Args:
        new: its version.
        today: the day that the changelog gets.
        dry_run: do all but commit and tag, and put the files back.
        out: the folder of wheel and sdist.

    Raises:
        ReleaseError: it cannot be made; the files are as they were.
    """
    old = present_version()
    if changed := _git("status", "--porcelain"):
        raise ReleaseError(f"the tree is not clean; commit or stash first:\n{changed}")
    check_version(new, old, _git("tag").split())
    before = {path: (REPOSITORY / path).read_text(encoding="utf-8") for path in FILES}
    after = edits(before, old, new, today)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done = False
    try:
        for path, text in after.items():
            (REPOSITORY / path).write_text(text, encoding="utf-8")
        wheel, sdist = build(out)
        check_wheel(wheel, new, project["license-files"])
        check_sdist(sdist, new, project["license-files"])
        for archive in (wheel, sdist):
            print(f"release: trying {archive.name} in an empty environment", flush=True)
            check_installed(archive, new)
        if not dry_run:
            _git("commit", "--quiet", "--message", f"Release {new}", "--", *FILES)
            _git("tag", "--annotate", "--message", f"mars2_env {new}", f"v{new}")
        done = not dry_run
    finally:
        if not done:
            for path, text in before.items():
                (REPOSITORY / path).write_text(text, encoding="utf-8")
    print(f"release: {wheel} and {sdist.name} install and work")
    if not project.get("urls"):
        print("release: pyproject.toml has no [project.urls] yet; the owner fills them in before the first upload")
    if not dry_run:
        print(f"release: committed and tagged v{new}. To publish: git push --follow-tags, then upload the two files")


def main() -> None:
    """Read the command line, and prepare a release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", help="such as 0.2.0: semantic versions, above the present one")
    parser.add_argument("--dry-run", action="store_true", help="build and check, then leave the files as they were")
    parser.add_argument("--date", type=date.fromisoformat, default=None, help="the changelog's day; today")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "dist", help="where wheel and sdist go; dist/")
    given = parser.parse_args()
    try:
        release(given.version, today=given.date or date.today(), dry_run=given.dry_run, out=given.out)
    except ReleaseError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()
