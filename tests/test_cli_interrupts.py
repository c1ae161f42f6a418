"""Ctrl-C on the command line where no command has anything to keep."""

from __future__ import annotations

import sys

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
