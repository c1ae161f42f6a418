"""Every example runs and says what it is about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAYS = {
    "custom_policy.py": "Pass@1(MCTS) on hidden tests",
    "play_in_rounds.py": "[9/9]",
    "compare_selectors.py": "repeated_sampling: Pass@1(MCTS)",
    "own_algorithm.py": "step 8: solved",
}

TRAINS = {"own_algorithm.py"}


def test_every_example_is_run(repository: Path) -> None:
    assert {path.name for path in (repository / "examples").glob("*.py")} == set(SAYS)


@pytest.mark.docker
@pytest.mark.parametrize("name", sorted(SAYS))
def test_example(name: str, repository: Path, tmp_path: Path) -> None:
    if name in TRAINS:
        pytest.importorskip("transformers", reason="needs the extra transformers")
    script = repository / "examples" / name
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
