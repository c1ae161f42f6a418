"""The turn in which an agent would be asked for a fresh program, whatever a tree's selector chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mars2_env.episode import Episode, Rules
from mars2_env.episode.events import Joined
from mars2_env.errors import ConfigError, LogError, unknown_name
from mars2_env.log.codec import Header
from mars2_env.log.fold import Tree
from mars2_env.prompt import Prompts
from mars2_env.search.choice import Choice
from mars2_env.search.tree import ROOT, SearchTree
from mars2_env.types import PublicView, Turn


@dataclass(frozen=True, slots=True)
class _AtTheRoot:
    """Chooses the only agent, and the root."""

    def select(self, tree: SearchTree, rng: np.random.Generator, pending: Sequence[Choice] = ()) -> Choice:
        """Return the root and agent 0."""
        return Choice(ROOT, 0)


def fresh_turn(tree: Tree | Header, agent: str, problem: PublicView, prompts: Prompts | None = None) -> Turn:
    """Return the turn in which an agent would be asked for a fresh program, before anything is in the tree.

    It is what learners ask with where an agent is to learn an answer that it did not write. Logs hold no prompts and no
    problem, so both are given. In a repair problem to write afresh is to correct the seed program.

    Args:
        tree: the tree, or the header of one.
        agent: one of its agents.
        problem: the public view of its problem.
        prompts: how the task asks (`Task.prompts`); `Prompts()` by default.

    Raises:
        ConfigError: the tree has no such agent, or is about another problem.
        LogError: the seed program of a repair problem was never graded, so that nobody could be asked.
    """
    header = tree if isinstance(tree, Header) else tree.header
    if problem.id != header.problem:
        raise ConfigError(f"fresh_turn: the tree is about {header.problem!r}, and the problem is {problem.id!r}.")
    roles = dict(header.task["agents"])
    if isinstance(tree, Tree):
        roles = {event.agent: event.role for event in tree.events if isinstance(event, Joined)} | roles
    if agent not in roles:
        raise ConfigError(unknown_name("agent of the tree", agent, roles))
    # An episode of this agent alone, so that whose turn it is needs no asking.
    rules = Rules(**header.task["rules"])
    selector = _AtTheRoot() if rules.game == "write" else None
    episode = Episode(problem, {agent: roles[agent]}, selector, 1, header.seed, rules=rules, prompts=prompts)
    if episode.awaits_seed:
        if not isinstance(tree, Tree) or tree.root is None:
            raise LogError(
                f"fresh_turn: the seed program of {problem.id!r} was not graded, so nobody can be asked yet."
            )
        episode.plant(tree.root.verdict)
    turn = episode.ask(agent if rules.game == "route" else None)
    return turn.at(ROOT) if rules.game in ("place", "route") else turn
