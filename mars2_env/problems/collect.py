"""From records to a problem set: groups of tests, unique ids, and a count of what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from mars2_env.base.texts import well_formed
from mars2_env.errors import ProblemError
from mars2_env.problems.base import ProblemSet, Use
from mars2_env.problems.catalogue import SetInfo
from mars2_env.problems.groups import grouped
from mars2_env.problems.records import Place, data_files, loads, short
from mars2_env.sandbox.worker.values import ValuesError, encode
from mars2_env.types import Call, Interface, Limits, Problem, TestCase

CUT: Final = "a test was cut off in the file"
UNREADABLE: Final = "tests that cannot be read"

_MAX_CPU_SECONDS: Final = 20.0


class Collection:
    """The problems of one split, as they are read."""

    def __init__(self, info: SetInfo, split: str, use: Use) -> None:
        self.info = info
        self.split = split
        self.use: Use = use
        self.left_out: Counter[str] = Counter()
        self._problems: list[Problem] = []
        self._places: dict[str, Place] = {}

    def add(
        self,
        place: Place,
        id: str,
        statement: str,
        interface: Interface,
        official: Sequence[TestCase],
        shown: Sequence[TestCase] = (),
        **fields: Any,
    ) -> None:
        """Take a problem, or leave it out and count it where its tests make no groups or cannot be sent to a sandbox.

        Args:
            place: The record.
            id: The problem's id.
            statement: Its statement.
            interface: How its programs are run.
            official: All of its official tests.
            shown: Those that the statement shows.
            **fields: Further fields of `Problem`.

        Raises:
            ProblemError: the id occurred before, or the record makes no problem.
        """
        if id in self._places:
            raise ProblemError(
                f"{place}: the problem {short(id)} is in {self._places[id]} too; ids are unique in a set."
            )
        self._places[id] = place
        if isinstance(interface, Call) and not all(can_cross(test) for test in (*shown, *official)):
            self.left_out[UNREADABLE] += 1
            return
        groups = grouped(id, self.use, official, shown)
        if isinstance(groups, str):
            self.left_out[groups] += 1
            return
        public, scoring, hidden = groups
        for name in ("starter_code", "reference"):
            if fields.get(name):
                fields[name] = well_formed(fields[name])
        try:
            self._problems.append(
                Problem(id, well_formed(statement), interface, public=public, scoring=scoring, hidden=hidden, **fields)
            )
        except ProblemError as error:
            raise ProblemError(f"{place}: {error}") from error

    def leave_out(self, reason: str) -> None:
        """Count a record that is not taken."""
        self.left_out[reason] += 1

    def done(self, path: str | None) -> ProblemSet:
        """Return the set.

        Raises:
            ProblemError: it is empty.
        """
        if not self._problems:
            reasons = "; ".join(f"{count} left out: {reason}" for reason, count in self.left_out.items())
            raise ProblemError(
                f"{path or self.info.home}: no problem of {self.info.name}, split {self.split!r}, can be taken from it"
                f" ({reasons or 'it holds no records'})."
            )
        files = data_files(path) if path is not None else []
        return ProblemSet(
            self.info.name,
            tuple(self._problems),
            self.split,
            self.use,
            dict(self.left_out),
            self.info.provenance(*files),
        )


def is_cut(text: str) -> bool:
    """Return whether a text seems to be cut off: it is long and ends in three dots, with no other dots side by side.

    Sites show long tests in part, with "..." for the rest, and some sets took them from there. (Grids of dots end in a
    line of them, and have others.)
    """
    return len(text) >= 200 and text.endswith("...") and ".." not in text[:-3]


def time_limits(seconds: float | None) -> Limits:
    """Return the limits for a problem with a time limit: CPU time of that, but at least the usual and at most 20 s."""
    usual = Limits()
    if not seconds or seconds <= usual.cpu_seconds:
        return usual
    cpu = min(float(seconds), _MAX_CPU_SECONDS)
    return Limits(cpu_seconds=cpu, wall_seconds=3 * cpu)


def can_cross(test: TestCase) -> bool:
    """Return whether a call's arguments and value can be sent to a sandbox: integers and depth within its bounds."""
    try:
        encode(test.input, strict=True)
        encode(test.output, strict=True)
    except ValuesError:
        return False
    return True


def call_of_lines(given: str, wanted: str) -> TestCase:
    """Return the call whose arguments are the lines of a text, each JSON, and whose value is JSON too.

    Blank lines are none.

    Raises:
        ValueError: one of them is not JSON.
        RecursionError: one of them is nested too deeply.
    """
    return TestCase([loads(line) for line in given.split("\n") if line.strip()], loads(wanted))
