"""What an episode relies on in a selector."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mars2_env.search import Choice, SearchTree, Selector, make_selector, selector_config


class SelectorContract:
    """The contract of a `Selector`; inherit it and write `make_selector`.

    Attributes:
        named: whether logs can name it, so that replay and resume build it again from its name and fields.
    """

    named = True

    def make_selector(self) -> Selector:
        """Return a new selector."""
        raise NotImplementedError("write make_selector(self), which returns a new selector.")

    def trees(self) -> Iterator[SearchTree]:
        """Yield trees of 0 to 60 nodes by 1, 2 and 5 agents: random ones, a chain, a star, one with equal scores."""
        rng = np.random.default_rng(0)
        for agents in (1, 2, 5):
            yield SearchTree(agents)
            for shape in ("random", "chain", "star", "equal"):
                for size in (1, 7, 60):
                    tree = SearchTree(agents)
                    for node in range(size):
                        parent = {"chain": node, "star": 0}.get(shape, int(rng.integers(node + 1)))
                        score = 0.0 if shape == "equal" else float(rng.choice([0.0, 0.25, 1.0]))
                        tree.add(parent, int(rng.integers(agents)), score)
                    yield tree

    def _choose(self, tree: SearchTree, seed: int, selector: Selector | None = None) -> Choice:
        selector = self.make_selector() if selector is None else selector
        return selector.select(tree, np.random.default_rng(seed), ())

    def test_it_has_the_method_of_a_selector(self) -> None:
        """It is an object with `select`."""
        made = self.make_selector()
        assert isinstance(made, Selector) and not isinstance(made, type), f"{made!r} is no object with select(...)."

    def test_it_chooses_a_node_of_the_tree_and_an_agent(self) -> None:
        """Whatever the tree, the choice is one of its nodes (0 the root) and the index of one of its agents."""
        for tree in self.trees():
            for seed in range(3):
                parent, agent = self._choose(tree, seed)
                assert 0 <= parent < len(tree), f"parent {parent} is not in a tree of {len(tree)} nodes."
                assert 0 <= agent < tree.n_agents, f"agent {agent} is not one of {tree.n_agents}."

    def test_expansions_in_flight_are_taken(self) -> None:
        """With pending choices, even more of them than nodes, the choice is still one of the tree."""
        for tree in self.trees():
            pending = [Choice(node % len(tree), node % tree.n_agents) for node in range(5)]
            given = list(pending)
            parent, agent = self.make_selector().select(tree, np.random.default_rng(0), given)
            assert 0 <= parent < len(tree) and 0 <= agent < tree.n_agents, f"({parent}, {agent}) is not in the tree."
            assert given == pending, "select changed the list of pending choices."

    def test_all_randomness_comes_from_the_generator_given(self) -> None:
        """The same tree and generator give the same choice, and no other generator is drawn from."""
        for tree in self.trees():
            before = repr(np.random.get_state())
            first = self._choose(tree, 7)
            assert self._choose(tree, 7) == first, "the same tree and generator gave two different choices."
            assert repr(np.random.get_state()) == before, "select drew from numpy's global generator."

    def test_it_remembers_nothing(self) -> None:
        """A selector that was asked before chooses as a new one does: trees are resumed with a new one."""
        used = self.make_selector()
        for tree in self.trees():
            for seed in (1, 2):
                assert self._choose(tree, seed, used) == self._choose(tree, seed), "it depends on what it was asked."

    def test_it_leaves_the_tree_as_it_is(self) -> None:
        """Selecting reads a tree and changes nothing in it."""
        for tree in self.trees():
            before = [tree.parent.tolist(), tree.agent.tolist(), tree.score.tolist()]
            self._choose(tree, 3)
            assert [tree.parent.tolist(), tree.agent.tolist(), tree.score.tolist()] == before, (
                "select changed the tree."
            )

    def test_a_log_can_name_it(self) -> None:
        """Built again from what a log's header says of it, it chooses the same (selectors with `named`)."""
        if not self.named:
            return
        made = self.make_selector()
        again = make_selector(**selector_config(made))
        for tree in self.trees():
            assert self._choose(tree, 5, again) == self._choose(tree, 5, made), (
                f"made again from {selector_config(made)} it chooses otherwise; are all options fields of a dataclass?"
            )
