"""Programs may import Python distributions that are installed here and were named, and what those require."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mars2_env.cli.main import app
from mars2_env.errors import ConfigError, SandboxUnavailableError
from mars2_env.sandbox import dockerfile, make_sandbox
from mars2_env.sandbox.distributions import closure, distribution_files, modules, names_of, versions
from mars2_env.sandbox.image import PACKAGES, content_hash, fingerprint, tar_entries


def install(site: Path, name: str, version: str, files: dict[str, str], requires: tuple[str, ...] = ()) -> None:
    """Put a distribution into a folder, as pip does."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {need}\n" for need in requires)
    contents = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/direct_url.json": '{"url": "file:///home/somebody"}',
        "../../bin/sorted": "#!/usr/bin/python3\n",
    }
    for path, text in contents.items():
        place = site / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (site / info / "RECORD").write_text("".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with two distributions, one of which requires the other."""
    folder = tmp_path / "lib" / "site"
    install(
        folder,
        "contest-sorted",
        "1.2",
        {
            "contest_sorted/__init__.py": "from contest_base import base\nanswer = base + 1\n",
            "contest_sorted/deep/part.py": "",
            "contest_sorted/tests/test_it.py": "",
            "contest_sorted.pth": "import os",
            "contest_single.py": "one = 1\n",
        },
        ("contest.base (>=1) ; python_version > '3'", "nowhere; sys_platform == 'win32'", "pytest; extra == 'test'"),
    )
    install(folder, "contest_base", "3.0", {"contest_base.py": "base = 41\n"})
    monkeypatch.syspath_prepend(str(folder))
    yield folder


def test_names_are_written_in_one_way_and_checked() -> None:
    assert names_of(["Contest_Sorted", "contest.sorted", "b"], numpy=True) == ("b", "contest-sorted", "numpy")
    for wrong in ("numpy", 5, ["numpy==1.0"], ["../x"], [""], [None]):
        with pytest.raises(ConfigError, match="python_packages"):
            names_of(wrong)


def test_what_goes_in_is_what_was_asked_for_and_what_that_requires(site: Path) -> None:
    names = names_of(["contest-sorted"])
    assert versions(names) == "contest-base=3.0 contest-sorted=1.2"
    assert {file.place for file in distribution_files(names)} == {
        "contest_base-3.0.dist-info/METADATA",
        "contest_base.py",
        "contest_single.py",
        "contest_sorted-1.2.dist-info/METADATA",
        "contest_sorted/__init__.py",
        "contest_sorted/deep/part.py",
    }
    assert modules(names) == ("contest_single", "contest_sorted")


def test_one_that_is_missing_is_named_with_the_command_that_installs_it(site: Path) -> None:
    with pytest.raises(SandboxUnavailableError, match=r"-m pip install none-such other-one$") as caught:
        closure(["contest-sorted", "none-such", "other-one"])
    assert sys.executable in str(caught.value)


def test_one_without_files_of_its_own_is_refused(site: Path) -> None:
    install(site, "contest-editable", "1", {"contest_editable.pth": "/home/somebody/src"})
    with pytest.raises(SandboxUnavailableError, match="contest-editable 1 is installed here without"):
        list(distribution_files(["contest-editable"]))


def test_the_hash_changes_with_names_and_versions(site: Path) -> None:
    def hashes() -> tuple[str, str]:
        return fingerprint(python_packages=["contest-base"]), content_hash(
            tar_entries(python_packages=["contest-base"])
        )

    assert fingerprint() != hashes()[0] != fingerprint(python_packages=["contest-sorted"])
    before = hashes()
    (site / "contest_base-3.0.dist-info" / "METADATA").write_text("Name: contest_base\nVersion: 3.1\n")
    after = hashes()
    assert before[0] != after[0] and before[1] != after[1]


def test_a_dockerfile_installs_them() -> None:
    assert f"--target {PACKAGES} numpy sortedcontainers\n" in dockerfile(
        numpy=True, python_packages=["sortedcontainers"]
    )


PROGRAM = (
    "import importlib.metadata, subprocess, sys\nimport contest_sorted, contest_single\n"
    "print(contest_sorted.answer, importlib.metadata.version('contest-sorted'))\n"
    "print(subprocess.check_output([sys.executable, '-c', 'import contest_base as b; print(b.base)'], text=True))"
)


@pytest.mark.parametrize("kind", ["docker", "bubblewrap"])
def test_programs_import_them(kind: str, request: pytest.FixtureRequest, site: Path) -> None:
    request.getfixturevalue("docker_engine" if kind == "docker" else "bubblewrap")
    with make_sandbox(kind, workers=1, python_packages=["contest-sorted"]) as sandbox:
        run = sandbox.run(PROGRAM, [""])[0]
        assert run.output.split() == ["42", "1.2", "41"], run
        with make_sandbox(kind, workers=1) as plain:
            assert plain.identity != sandbox.identity
            assert plain.run("import contest_sorted", [""])[0].error_type == "ModuleNotFoundError"


def test_one_that_cannot_be_imported_in_there_is_an_error_of_the_sandbox(bubblewrap: None, site: Path) -> None:
    install(site, "contest-broken", "1", {"contest_broken.py": "open('/home/somebody')"})
    with (
        make_sandbox("bubblewrap", workers=1, python_packages=["contest-broken"]) as sandbox,
        pytest.raises(SandboxUnavailableError, match=r"contest_broken cannot be imported in the sandbox: .*somebody"),
    ):
        sandbox.run("print(1)", [""])


def test_an_image_of_ones_own_holds_what_it_holds() -> None:
    with pytest.raises(ConfigError, match="used as it is, without numpy"):
        make_sandbox("docker", image="mine", python_packages=["numpy"])


def test_a_kind_that_takes_none_says_so() -> None:
    with pytest.raises(ConfigError, match="python_packages"):
        make_sandbox("scripted", python_packages=["numpy"])


@pytest.mark.parametrize(
    "command",
    [
        ["judge", "starter/train/account/0", "-"],
        ["search", "starter", "--agent", "a=noise:default", "--budget", "1"],
        ["sandbox", "build"],
        ["sandbox", "check"],
        ["problems", "check", "starter"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_every_command_that_runs_programs_takes_them(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--python-package", "a b"], input="print(1)")
    assert isinstance(result.exception, ConfigError | SystemExit) and result.exit_code != 0
    said = f"{result.output} {result.exception}"
    assert "python_packages" in said, said
