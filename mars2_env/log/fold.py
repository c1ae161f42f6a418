"""Reading logs: a tree is a fold of its events."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mars2_env.base.checks import is_path
from mars2_env.episode import Event, Rules, State, Told
from mars2_env.errors import LogError, Mars2Error
from mars2_env.log.codec import Header
from mars2_env.log.page import shown, tree_html
from mars2_env.log.writer import check_once, log_files, read_events
from mars2_env.search.budget import parse_budget
from mars2_env.types import Node

DAMAGE: Final = (Mars2Error, LookupError, TypeError, ValueError, ArithmeticError, AttributeError, MemoryError)
"""What a header or an event raises that is well-formed and makes no sense."""


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
        """The tree for notebooks: the viewer's page in a frame, and a line a node below it."""
        return shown(self, tree_html(f"{self.problem}: {self._summary()}", self.nodes, self.root))

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
    """Return the state that the events of a log are applied to.

    Raises:
        LogError: the header's task makes no sense.
    """
    task = header.task
    try:
        return State(
            header.problem, dict(task["agents"]), parse_budget(task["budget"]), header.seed, Rules(**task["rules"])
        )
    except DAMAGE as error:
        raise LogError(f"the header tells of no task: {_said(error)}") from None


def follow(state: State, events: Iterable[Event], path: Path | None) -> None:
    """Apply the events of a log to a state, one after the other.

    Raises:
        LogError: one does not follow from those before it; the file, where there is one, and the line are named.
    """
    place = "" if path is None else f"{path}: "
    for line, event in enumerate(events, start=2):
        try:
            if isinstance(event, Told):
                _check_score(state, event)
            state.apply(event)
        except DAMAGE as error:
            raise LogError(f"{place}line {line}: the events do not make a tree: {_said(error)}") from None
    try:
        state.answer()  # what only the whole shows, such as verdicts on other groups of tests
    except DAMAGE as error:
        raise LogError(f"{place}the events do not make a tree: {_said(error)}") from None


def _check_score(state: State, told: Told) -> None:
    """Check that a score is what the outcomes beside it make of it, where no driver gave one of its own.

    Raises:
        LogError: it is not: one of the two was changed by hand.
    """
    if told.given:
        return
    earlier = told.duplicate_of
    wanted = state.rules.score_of(told.verdict) if earlier is None else state.node(earlier).score
    if told.score != wanted:
        raise LogError(f"the score of turn {told.turn} is {told.score:g}, and its outcomes make it {wanted:g}.")


def _said(error: BaseException) -> str:
    return f"{error!s:.300}" if isinstance(error, Mars2Error) else f"{type(error).__name__}: {error!s:.300}"


def fold(header: Header, events: tuple[Event, ...], path: Path | None = None) -> Tree:
    """Return the tree that a header and events tell of.

    Raises:
        LogError: the header makes no sense, or an event does not follow from those before it; its line is named.
    """
    try:
        state = state_at_start(header)
    except LogError as error:
        raise LogError(f"{'' if path is None else f'{path}: '}line 1: {error}") from None
    follow(state, events, path)
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

    Only what has the name of a log (`log_path`) is read of a run's folder `trees`, as by runs that go on.

    Raises:
        LogError: there is no log there, or one is damaged, or a tree has two; the message names file and line.
    """
    if not is_path(path):
        named = str(path) if isinstance(path, Path) else path
        raise LogError(f"a log is named by its file or folder, not by {named!r:.200}.")
    place = Path(path)
    if os.path.isdir(place):  # False of what cannot be looked at: reading it says why
        files = log_files(place)
        if not files:
            if place.name == "trees" and log_files(place.parent):
                raise LogError(f"{place} holds the logs of the run {place.parent}; give that folder.")
            raise LogError(f"{place} holds no trees; a run folder has its logs in {place / 'trees'}.")
    else:
        files = [place]
    trees = []
    for file in files:
        header, events = read_events(file)
        if header is None:
            if file is not place:
                continue  # killed before the first line was out
            raise LogError(f"{file} is empty, or its first line was cut off: there is no tree in it.")
        trees.append(fold(header, tuple(events), file))
    check_once((tree.path or place, tree.header) for tree in trees)
    return trees
