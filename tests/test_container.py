"""The package's container: it is built, and its commands are those of the page on installing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import REPOSITORY, snippets

BASE = re.findall(r"^ARG BASE=(\S+)$", (REPOSITORY / "Containerfile").read_text(encoding="utf-8"), re.MULTILINE)[0]
COMMANDS = [
    command
    for snippet in snippets(REPOSITORY / "docs" / "install.md")
    if "container" in snippet.words
    for command, _ in snippet.commands()
]


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_builds_by_this_repositorys_file_and_runs_what_it_built() -> None:
    assert COMMANDS[1] == "docker build --file Containerfile --tag mars2-env dist"
    assert len(COMMANDS) == 4 and all(command.startswith("docker run --rm ") for command in COMMANDS[2:])


@pytest.mark.slow
@pytest.mark.docker
def test_the_package_is_built_into_an_image_in_which_programs_are_run_both_ways(tmp_path: Path) -> None:
    base = os.environ.get("MARS2_CONTAINER_BASE", BASE)
    if subprocess.run(["docker", "image", "inspect", base], capture_output=True).returncode:
        pytest.skip(f"no image {base}; pull it, or name one with Python and its venv in MARS2_CONTAINER_BASE")
    python = run(f"docker run --rm {base} python3 -c 'import sys; print(*sys.version_info[:2], sep=\".\")'", tmp_path)
    dist = tmp_path / "dist"
    run(f"{sys.executable} -m hatchling build --target wheel --directory {dist}", REPOSITORY)
    # without the network, so that what is tried is the same wherever this runs
    pip = f"{sys.executable} -m pip --disable-pip-version-check download -qq --dest {dist} --only-binary :all:"
    run(f"{pip} --python-version {python.strip()} --constraint {REPOSITORY / 'constraints.txt'} {dist}/*.whl", tmp_path)
    arguments = f"--network none --build-arg BASE={base} --build-arg PIP_OPTIONS=--no-index"
    build, search, check = COMMANDS[1:]
    build = build.replace("build ", f"build {arguments} ", 1).replace("Containerfile", f"{REPOSITORY}/Containerfile")
    tag = f"mars2-env-test-{os.getpid()}"
    run(build.replace("mars2-env", tag), tmp_path)
    try:
        run(search.replace("mars2-env", tag), tmp_path)
        assert len(list((tmp_path / "runs" / "first" / "trees").glob("*.jsonl"))) == 2
        assert "FAIL" not in run(check.replace("mars2-env", tag), tmp_path)
    finally:
        subprocess.run(["docker", "image", "rm", "--force", tag], capture_output=True, check=False)
