"""Commands of `mars2` run in this process, for tests of what they print."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mars2_env.cli import main


def mars2(
    monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str, str]:
    """Run a command; return exit status, standard output and error."""
    monkeypatch.setattr(sys, "argv", ["mars2", *map(str, arguments)])
    monkeypatch.setattr(sys.modules["mars2_env.cli.main"], "be_patient", lambda: None)
    capture.readouterr()
    status = 0
    try:
        main()
    except SystemExit as end:
        status = int(end.code or 0)
    return status, *capture.readouterr()
