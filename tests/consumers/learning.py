"""What the documented training programs of the game `place` must come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from mars2_bench.control.placing import Act, held_out
from pages import REPOSITORY, docs_program

from mars2_env.sandbox import CachedSandbox, Sandbox

RUNS = "runs.sqlite"
"""What the programs call the file in which runs are kept."""


def trained(consumer: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the program of a consumer's page in `folder`; return its names. All trainings keep runs in one file."""
    import torch

    torch.set_num_threads(1)  # of networks as small as these, threads only wait for each other
    kept = REPOSITORY / ".consumers" / RUNS
    kept.parent.mkdir(exist_ok=True)
    (folder / RUNS).symlink_to(kept)
    monkeypatch.chdir(folder)
    return docs_program(consumer, folder)


def assert_learned(act: Act, api: Literal["parallel", "aec"], sandbox: Sandbox, folder: Path) -> None:
    """Hold a controller on problems that training did not see; print what it is held against."""
    held = held_out(act, api, CachedSandbox(sandbox, folder / RUNS))
    print(f"\n{held}")
    assert held.random.better > held.random.other and held.random.p < 0.01, str(held)
