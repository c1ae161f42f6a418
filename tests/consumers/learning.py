"""What the documented training programs of the game `place` must come to."""

from __future__ import annotations

from typing import Literal

from mars2_bench.placing import Act, held_out

from mars2_env.sandbox import CachedSandbox, Sandbox


def assert_learned(act: Act, api: Literal["parallel", "aec"], sandbox: Sandbox) -> None:
    """Hold a controller on problems that training did not see; print what it is held against.

    The sandbox may be the training's own `CachedSandbox`, which knows many of the programs.
    """
    held = held_out(act, api, sandbox if isinstance(sandbox, CachedSandbox) else CachedSandbox(sandbox))
    print(f"\n{held}")
    assert held.random.better > held.random.other and held.random.p < 0.01, str(held)
