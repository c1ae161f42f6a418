"""Ctrl-C on the command line where no command has anything to keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mars2_env.cli
from mars2_env.cli.interrupts import STATUS


def test_an_interrupt_before_a_command_begins_is_one_word_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    module = sys.modules["mars2_env.cli.main"]
    monkeypatch.setattr(module, "be_patient", lambda: None)
    for what in ("_add_commands", "app"):
        with monkeypatch.context() as patched:
            patched.setattr(module, "_add_commands", lambda: None)
            patched.setattr(module, what, pressed)
            with pytest.raises(SystemExit) as ended:
                mars2_env.cli.main()
        assert ended.value.code == STATUS
        assert capsys.readouterr().err == "interrupted.\n"


SIGNALS = """
import os
import signal

os.kill(os.getpid(), signal.SIGINT)
raise RuntimeError("the signal came and nothing happened")
"""
"""A module whose import is what Ctrl-C falls into."""


@pytest.mark.parametrize("module", ["numpy", "msgspec", "typer"])
def test_an_interrupt_while_things_are_imported_is_one_word_and_no_lines_of_files(
    module: str, tmp_path: Path, repository: Path
) -> None:
    (tmp_path / f"{module}.py").write_text(SIGNALS)
    places = [str(tmp_path), str(repository), os.environ.get("PYTHONPATH", "")]
    # Whatever began the tests may have the signal ignored.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import mars2_launch as it; it.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "problems", "list"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (STATUS, "", "interrupted.\n")


def test_the_launcher_imports_nothing_that_takes_time_before_it_listens(repository: Path) -> None:
    program = "import sys; import mars2_launch; print(*(name for name in sys.modules if name.startswith('mars2')))"
    environment = os.environ | {"PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["mars2_launch"], done.stderr


def test_the_launcher_hands_over_to_the_command_line_and_its_own_care(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mars2_launch

    handlers = []
    monkeypatch.setattr(mars2_env.cli, "main", lambda: handlers.append(signal.getsignal(signal.SIGINT)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        mars2_launch.main()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        mars2_launch.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert handlers == [signal.default_int_handler, signal.SIG_IGN]


def test_the_script_is_the_launcher(repository: Path) -> None:
    told = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["project"]["scripts"]["mars2"] == "mars2_launch:main"
