"""The arms of the miniature experiment, as a table: who is trained how, from which bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mars2_bench.training.world import OPERATIONS, Knowledge

Training: TypeAlias = Literal["none", "apart", "alone", "together"]
"""`apart`: each agent in trees of its own; `alone`: A's policy in trees of two agents that both play by it; `together`:
both policies in shared trees."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two bases: what their agents know, and the seeds of their fine-tuning.

    Attributes:
        a: the operations that A knows.
        b: those that B knows.
        seeds: of A's and B's fine-tuning.
    """

    a: tuple[str, ...]
    b: tuple[str, ...]
    seeds: tuple[int, int]

    def known(self, who: str) -> tuple[str, ...]:
        """Return the operations that agent `a` or `b` knows."""
        return self.a if who == "a" else self.b

    def blind(self, who: str) -> tuple[str, ...]:
        """Return those that it does not know."""
        return tuple(name for name in OPERATIONS if name not in self.known(who))


def dealt(order: tuple[int, ...], seeds: tuple[int, int]) -> Pair:
    """Return the pair of a deal: the first four operations are common, the next four A's, the last four B's."""
    names = [OPERATIONS[place] for place in order]
    knowledge = Knowledge(tuple(names[:4]), tuple(names[4:8]), tuple(names[8:]))
    return Pair(knowledge.known("a"), knowledge.known("b"), seeds)


_FIRST: Final = dealt((9, 0, 1, 7, 5, 4, 2, 8, 3, 11, 6, 10), (0, 1))
_SECOND: Final = dealt((11, 4, 2, 9, 10, 3, 0, 1, 7, 6, 8, 5), (2, 3))

PAIRS: Final = {
    "first": _FIRST,
    "second": _SECOND,
    # The negative control: what the partner could bring is missing, since both are blind to the same.
    "alike": Pair(_FIRST.a, _FIRST.a, (0, 4)),
}


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm.

    Attributes:
        training: who plays in the trees that are learnt from.
        algorithm: a name of `mars2_agents.algorithms`.
        pair: the bases, a name of `PAIRS`.
        gamma: of `tree_shaping`.
        scope: what is normalised together.
        updates: how many times as many updates as other arms have.
    """

    training: Training
    algorithm: str = ""
    pair: str = "first"
    gamma: float = 0.5
    scope: Literal["tree", "agent_in_tree"] = "tree"
    updates: int = 1


ARMS: Final[dict[str, Arm]] = {
    "base": Arm("none"),
    "grpo": Arm("apart", "grpo"),
    "rs2": Arm("apart", "rs2"),
    "rs2_twice": Arm("apart", "rs2", updates=2),
    "homogeneous": Arm("alone", "homogeneous"),
    "heterogeneous": Arm("together", "heterogeneous"),
    "heterogeneous_unshaped": Arm("together", "heterogeneous", gamma=0.0),
    "heterogeneous_agent_in_tree": Arm("together", "heterogeneous", scope="agent_in_tree"),
    "heterogeneous_shared": Arm("together", "shared_solutions"),
    "rs2_shared": Arm("apart", "shared_solutions"),
    "second_base": Arm("none", pair="second"),
    "second_rs2": Arm("apart", "rs2", pair="second"),
    "second_heterogeneous": Arm("together", "heterogeneous", pair="second"),
    "alike_base": Arm("none", pair="alike"),
    "alike_rs2": Arm("apart", "rs2", pair="alike"),
    "alike_heterogeneous": Arm("together", "heterogeneous", pair="alike"),
}
"""Name -> arm, in the order in which they are run and told."""
