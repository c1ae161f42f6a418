"""One policy for all agents of `place`, by SuperSuit and Stable-Baselines3 (scripts/consumers.sh supersuit)."""

from __future__ import annotations

from pathlib import Path

import pytest
from learning import assert_learned, trained

from mars2_env.sandbox import Sandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore"),  # those of the libraries, which others answer for
]


def test_the_documented_program_learns(
    docker_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = trained("supersuit", tmp_path, monkeypatch)
    assert_learned(program["act"], "parallel", docker_sandbox, tmp_path)
