"""Reading logs: a tree is a fold of its events."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from mars2_env.episode import Event, Rules, State
from mars2_env.errors import LogError, Mars2Error
from mars2_env.log.codec import Header
from mars2_env.log.page import tree_html
from mars2_env.log.writer import read_events
from mars2_env.search.budget import parse_budget
from mars2_env.types import Node


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree as its log tells it: finished if `ended` is set, else cut off.

    `ended` is one of `mars2_env.episode.EndReason`, and `detail` says what exactly ended it. `nodes` are in order of
    id, from 1; `root` is the seed node (number 0) of a repair problem, None elsewhere; `path` is the log file, None for
    a tree that was not logged.
    """

    header: Header
    events: tuple[Event, ...]
    nodes: tuple[Node, ...]
    ended: str | None
    answer: int | None
    path: Path | None = field(default=None, compare=False)
    root: Node | None = None
    detail: str = ""

    def __repr__(self) -> str:
        """The tree in short: its texts are in `nodes`."""
        return f"Tree({self.problem!r}, seed={self.seed}, {self._summary()})"

    def _repr_html_(self) -> str:
        """The tree for notebooks: a line a node, which opens to its program."""
        return tree_html(f"{self.problem}: {self._summary()}", self.nodes, self.root)

    def _summary(self) -> str:
        return f"{len(self.nodes)} nodes, best score {self.best_score:g}, {self.ended or 'cut off'}"

    @property
    def problem(self) -> str:
        """The problem's id."""
        return self.header.problem

    @property
    def seed(self) -> int:
        """The seed of the episode."""
        return self.header.seed

    @property
    def best_score(self) -> float:
        """The highest score of any node; 0 for an empty tree."""
        return max((node.score for node in self.nodes), default=0.0)

    @property
    def duplicates(self) -> int:
        """How many nodes repeat an earlier program (after normalisation)."""
        return sum(node.duplicate_of is not None for node in self.nodes)


def state_at_start(header: Header) -> State:
    """Return the state that the events of a log are applied to."""
    task = header.task
    return State(
        header.problem, dict(task["agents"]), parse_budget(task["budget"]), header.seed, Rules(**task["rules"])
    )


def fold(header: Header, events: tuple[Event, ...], path: Path | None = None) -> Tree:
    """Return the tree that a header and events tell of.

    Raises:
        LogError: an event does not follow from those before it.
    """
    state = state_at_start(header)
    for event in events:
        state.apply(event)
    return tree_of(header, events, state, path)


def tree_of(header: Header, events: tuple[Event, ...], state: State, path: Path | None = None) -> Tree:
    """Return the tree of a state that these events led to."""
    answer = state.answer()
    return Tree(
        header,
        events,
        tuple(state.nodes),
        state.ended,
        answer.id if answer else None,
        path,
        state.root,
        state.end_detail,
    )


def read_log(path: str | Path) -> list[Tree]:
    """Read the log of one tree (a file) or of every tree of a run (its folder), in order of file name.

    Raises:
        LogError: there is no log there, or one is damaged; the message names file and line.
    """
    if not isinstance(path, str | os.PathLike):
        raise LogError(f"a log is named by its file or folder, not by {path!r:.200}.")
    place = Path(path)
    if place.is_dir():
        files = sorted((place / "trees").glob("*.jsonl"))
        if not files:
            raise LogError(f"{place} holds no trees; a run folder has its logs in {place / 'trees'}.")
    else:
        files = [place]
    trees = []
    for file in files:
        header, events = read_events(file)
        if header is None:
            if place.is_dir():
                continue  # killed before the first line was out
            raise LogError(f"{file} is empty.")
        try:
            trees.append(fold(header, tuple(events), file))
        except (Mars2Error, LookupError, TypeError, ValueError, MemoryError) as error:
            raise LogError(f"{file}: the events do not make a tree: {error!s:.300}") from None
    return trees
