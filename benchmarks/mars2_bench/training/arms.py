"""The arms of the miniature experiment, as a table: who is trained how, from which bases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from mars2_bench.training.world import OPERATIONS, Knowledge

Training: TypeAlias = Literal["none", "apart", "alone", "together"]
"""`apart`: each agent in trees of its own; `alone`: A's policy in trees of two agents that both play by it; `together`:
both policies in shared trees."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model: its name, the operations that it knows, and the seed of its fine-tuning."""

    name: str
    known: tuple[str, ...]
    seed: int

    @property
    def blind(self) -> tuple[str, ...]:
        """The operations that it does not know."""
        return tuple(name for name in OPERATIONS if name not in self.known)


def dealt(name: str, order: tuple[int, ...], seeds: tuple[int, int]) -> dict[str, Base]:
    """Return two bases, `a` and `b`: the first four operations of a deal are common, the next A's, the last B's."""
    names = [OPERATIONS[place] for place in order]
    knowledge = Knowledge(tuple(names[:4]), tuple(names[4:8]), tuple(names[8:]))
    return {who: Base(f"{name}.{who}", knowledge.known(who), seed) for who, seed in zip("ab", seeds, strict=True)}


_FIRST: Final = dealt("first", (9, 0, 1, 7, 5, 4, 2, 8, 3, 11, 6, 10), (0, 1))

PAIRS: Final[dict[str, dict[str, Base]]] = {
    "first": _FIRST,
    "second": dealt("second", (11, 4, 2, 9, 10, 3, 0, 1, 7, 6, 8, 5), (2, 3)),
    # The negative control: both are blind to the same, so that neither has what the other lacks.
    "alike": {"a": _FIRST["a"], "b": Base("alike.b", _FIRST["a"].known, 4)},
}
"""Name -> the bases of A and B."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm.

    Attributes:
        training: who plays in the trees that are learnt from.
        algorithm: by what is learnt (`algorithm_of`).
        pair: the bases, a name of `PAIRS`.
        gamma: of `tree_shaping`.
        scope: what is normalised together.
        steps: how many times as many as other arms have.
    """

    training: Training
    algorithm: str = ""
    pair: str = "first"
    gamma: float = 0.5
    scope: Literal["tree", "agent_in_tree"] = "tree"
    steps: int = 1


ARMS: Final[dict[str, Arm]] = {
    "base": Arm("none"),
    "grpo": Arm("apart", "grpo"),
    "rs2": Arm("apart", "rs2"),
    "rs2_twice": Arm("apart", "rs2", steps=2),
    "homogeneous": Arm("alone", "homogeneous"),
    "heterogeneous": Arm("together", "heterogeneous"),
    "heterogeneous_unshaped": Arm("together", "heterogeneous", gamma=0.0),
    "heterogeneous_agent_in_tree": Arm("together", "heterogeneous", scope="agent_in_tree"),
    "heterogeneous_shared": Arm("together", "shared_solutions"),
    "rs2_shared": Arm("apart", "rs2_shared"),
    "second_base": Arm("none", pair="second"),
    "second_rs2": Arm("apart", "rs2", pair="second"),
    "second_heterogeneous": Arm("together", "heterogeneous", pair="second"),
    "second_heterogeneous_agent_in_tree": Arm("together", "heterogeneous", pair="second", scope="agent_in_tree"),
    "alike_base": Arm("none", pair="alike"),
    "alike_rs2": Arm("apart", "rs2", pair="alike"),
    "alike_heterogeneous": Arm("together", "heterogeneous", pair="alike"),
}
"""Name -> arm, in the order in which they are run and told."""
