"""For tests and studies: contract tests to inherit for parts of your own, scripted parts, and policies without a model.

Nothing here is a result about a model or a program: `ScriptedSandbox` runs nothing, `NoisePolicy` is simulated,
`HardCodingPolicy` copies the quoted examples: a floor that results are held against.
"""

from mars2_env.sandbox.scripted import ScriptedSandbox, arbitrary_run
from mars2_env.testing.contracts import PolicyContract, ProblemSetContract, SandboxContract, SelectorContract
from mars2_env.testing.hardcoding import HardCodingPolicy
from mars2_env.testing.noise import PROFILES, NoisePolicy, Profile
from mars2_env.testing.scripted import ScriptedPolicy

__all__ = [
    "PROFILES",
    "HardCodingPolicy",
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
