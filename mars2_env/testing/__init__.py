"""For tests and studies: contract tests to inherit for parts of your own, scripted parts, and a simulated policy.

Nothing here is a result about a model or a program: `ScriptedSandbox` runs nothing, `NoisePolicy` is simulated.
"""

from mars2_env.sandbox.scripted import ScriptedSandbox, arbitrary_run
from mars2_env.testing.contracts import PolicyContract, ProblemSetContract, SandboxContract, SelectorContract
from mars2_env.testing.noise import PROFILES, NoisePolicy, Profile
from mars2_env.testing.scripted import ScriptedPolicy

__all__ = [
    "PROFILES",
    "NoisePolicy",
    "PolicyContract",
    "ProblemSetContract",
    "Profile",
    "SandboxContract",
    "ScriptedPolicy",
    "ScriptedSandbox",
    "SelectorContract",
    "arbitrary_run",
]
