"""A policy that has understood nothing: it answers with the public examples, which it knows by heart.

What it reaches on tests is what anybody reaches who reads the prompt and copies. On hidden tests that should be 0:
where it is not, the hidden tests of a set do not tell a program from a table of its examples.
"""

from __future__ import annotations

from mars2_env.problems.starter import hardcode_program
from mars2_env.types import Reply, Turn


class HardCodingPolicy:
    """Writes, for any problem, the program that returns what the quoted examples say, and a guess elsewhere."""

    identity = "hard-coding"

    def __repr__(self) -> str:
        return "HardCodingPolicy()"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order; where the agent chooses the place it is the root."""
        return [self._reply(turn) for turn in turns]

    def _reply(self, turn: Turn) -> Reply:
        program = hardcode_program(turn.problem, default=-1 if turn.problem.public else None)
        return Reply(f"```python\n{program}```", parent=0 if turn.parent is None else None)
