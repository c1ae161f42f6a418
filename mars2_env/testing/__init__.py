"""Parts for tests and studies without a model or Docker: scripted ones, and a simulated policy.

Nothing here is a result about a model or a program: `ScriptedSandbox` runs nothing, `NoisePolicy` is simulated.
"""

from mars2_env.testing.noise import PROFILES, NoisePolicy, Profile
from mars2_env.testing.scripted import ScriptedPolicy, ScriptedSandbox, arbitrary_run

__all__ = ["PROFILES", "NoisePolicy", "Profile", "ScriptedPolicy", "ScriptedSandbox", "arbitrary_run"]
