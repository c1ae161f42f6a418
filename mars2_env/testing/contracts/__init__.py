"""Contract tests: what the library relies on in a part, as test classes to inherit for parts of your own.

Inherit one in a test file, say how your part is made, and pytest runs the contract:

    class TestMine(PolicyContract):
        def make_policy(self):
            return MyPolicy()

Each test states one promise; a failing one says which was broken and how. The library's own parts pass the same.
"""

from mars2_env.testing.contracts.policy import PolicyContract
from mars2_env.testing.contracts.problem_set import ProblemSetContract
from mars2_env.testing.contracts.sandbox import SandboxContract
from mars2_env.testing.contracts.selector import SelectorContract

__all__ = ["PolicyContract", "ProblemSetContract", "SandboxContract", "SelectorContract"]
