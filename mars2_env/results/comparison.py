"""Comparison of searches on the same problems under the same seeds, from their logs and hidden verdicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from mars2_env.base.checks import whole_number
from mars2_env.base.markup import table
from mars2_env.errors import ConfigError
from mars2_env.problems import ProblemSet
from mars2_env.results.answers import AnswerRule
from mars2_env.results.arms import Arm, Key, Runs, arms_of, paired_keys
from mars2_env.results.curves import Axis, Course, at
from mars2_env.results.grading import checked, grade
from mars2_env.results.paired import (
    bootstrap_band,
    bootstrap_interval,
    by_problem,
    complementarity,
    holm,
    minimum_detectable_effect,
    sign_flip_p,
)
from mars2_env.sandbox import Sandbox

Reached: TypeAlias = Literal["pass_at_1_mcts", "pass_at_n"]

MEASURES: Final[Mapping[str, str]] = {
    "pass_at_1_mcts": "Pass@1(MCTS)",
    "pass_at_n": "Pass@N",
    "area_at_1": "area under Pass@1(MCTS)",
    "area_at_n": "area under Pass@N",
    "nodes": "nodes a tree",
    "tokens": "tokens a tree",
    "seconds": "seconds a tree",
}
"""What is compared; an area is the mean of a curve over nodes 1 to N."""

AXES: Final[tuple[Axis, ...]] = ("nodes", "tokens", "seconds")

_POINTS: Final = 64
"""About how many points a curve has, at most."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One search in a comparison.

    Attributes:
        name: what it is called.
        folders: its run folders; () for trees that were handed over.
        finished: how many of its trees are finished.
        unfinished: how many were cut off, ended by faults, or were planned and never begun.
        alone: how many finished trees have no partner since another search was never to grow it.
        waiting: how many finished trees have a partner that is not finished.
        other_problem: how many finished trees have a partner of the same name on another problem: other tests, or
            another statement.
        means: measure -> its mean over problems, of the paired trees; None where the logs do not tell.
    """

    name: str
    folders: tuple[str, ...]
    finished: int
    unfinished: int
    alone: int
    waiting: int
    other_problem: int
    means: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """A search minus the first one, in one measure, over the problems that both have.

    Attributes:
        arm: the search.
        baseline: the first one.
        measure: one of `MEASURES`.
        value: the mean difference.
        interval: its 95 % percentile bootstrap interval over problems.
        p: two-sided, by random signs (`mars2_env.results.paired.sign_flip_p`).
        p_holm: p for being one of as many as there are comparisons in this measure.
        detectable: the smallest true difference that would be found with probability 0.8; None where all problems
            differ alike, which says nothing of how much they vary.
        bounds: between which values it lies whatever the pairs come to that are not finished; None of what has no
            bounds.
    """

    arm: str
    baseline: str
    measure: str
    value: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    detectable: float | None
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What the paired trees of a search reach within a budget; trees that ended stay as they ended.

    Attributes:
        arm: the search.
        measure: what is reached.
        axis: what is spent.
        x: budgets of a tree.
        y: the mean over problems within each.
        low: the lower end of its 95 % bootstrap interval over problems: of this search alone, so that differences of
            pairs are surer than two such intervals look.
        high: the upper end.
    """

    arm: str
    measure: Reached
    axis: Axis
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Complementarity:
    """What a team's Pass@N is above that of its best member, each alone with as many nodes."""

    team: str
    members: tuple[str, ...]
    best: str
    nodes: int
    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Searches compared on the pairs (problem, seed) that all of them finished.

    Attributes:
        arms: the searches; differences are to the first.
        pairs: how many pairs of problem and seed all of them finished.
        problems: of how many problems these are.
        expected: how many pairs all of them were to grow, as far as is known.
        nodes: after how many expansions trees were compared; None for their ends.
        answer: how answers were chosen.
        differences: each search minus the first, measure by measure.
        curves: Pass@1(MCTS) and Pass@N against what was spent.
        teams: what teams find above their best members, where both are among the searches.
        notes: what a reader has to know besides.
    """

    arms: tuple[Standing, ...]
    pairs: int
    problems: int
    expected: int
    nodes: int | None
    answer: AnswerRule
    differences: tuple[Difference, ...]
    curves: tuple[Curve, ...]
    teams: tuple[Complementarity, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The comparison in short."""
        names = ", ".join(repr(arm.name) for arm in self.arms)
        return f"Comparison({names}: {self.pairs} pairs of {self.problems} problems)"

    def _repr_html_(self) -> str:
        """The comparison for notebooks: a row a difference."""
        head = ("measure", "search", "minus", "difference", "95 % interval", "p", "detectable")
        rows = [
            (
                MEASURES[one.measure],
                one.arm,
                one.baseline,
                f"{one.value:+.3f}",
                f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
                f"{one.p:.3g}",
                "-" if one.detectable is None else f"{one.detectable:.3f}",
            )
            for one in self.differences
        ]
        return table(repr(self), head, rows)

    def curve(self, arm: str, measure: Reached, axis: Axis = "nodes") -> Curve | None:
        """Return a curve; None where the logs do not tell it."""
        found = (one for one in self.curves if (one.arm, one.measure, one.axis) == (arm, measure, axis))
        return next(found, None)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, as `mars2 compare --json` prints it."""
        return asdict(self)


def compare(
    runs: Runs,
    *,
    problems: ProblemSet | str | None = None,
    sandbox: Sandbox | None = None,
    answer: AnswerRule = "best",
    nodes: int | None = None,
    partial: bool = False,
    observer: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compare searches, paired by problem and seed; what is not graded on hidden tests yet is graded first.

    Args:
        runs: run folders, at least two; those of one search under other seeds count as one, and differences are to the
            first. Or name -> a run folder, several, or trees.
        problems: the problem set that was played, or its name; run folders know how to load their own.
        sandbox: as for `evaluate`.
        answer: how the one answer of each tree is chosen; by `agreement` there are no curves of Pass@1(MCTS).
        nodes: compare trees after their first so many expansions; None for their ends.
        partial: whether runs that are not finished are compared by what there is, with bounds on the rest.
        observer: called with (nodes graded, nodes in all) as the work goes on.

    Raises:
        ConfigError: there is nothing to compare, or no two searches have a problem and seed in common, or what
            `evaluate` refuses.
        LogError: a run folder is unreadable.
        SandboxError: the sandbox could not decide; what was graded is kept.
    """
    problems = checked("compare", problems, sandbox, answer, partial, observer)
    if nodes is not None:
        whole_number("nodes", nodes, where="compare")
        if answer == "agreement":
            raise ConfigError(
                f"compare(nodes={nodes}, answer='agreement'): an answer by agreement is that of a whole tree. Leave "
                "nodes out, or choose answers by 'best' or 'reward'."
            )
    played = arms_of(runs, problems, partial=partial)
    graded = iter(
        grade([one for arm in played for one in arm.played], sandbox=sandbox, answer=answer, observer=observer)
    )
    arms = [arm.graded([tree for _ in arm.played for tree in next(graded)], answer) for arm in played]
    pairing = paired_keys(arms)
    if not pairing.pairs:
        raise ConfigError(
            f"{' and '.join(repr(arm.name) for arm in arms)} have no problem and seed in common that all of them "
            "finished, so nothing can be paired. Play the same problems under the same --seed."
        )
    keys = sorted(pairing.pairs)
    courses = [{key: arm.courses[key].first(nodes) for key in keys} for arm in arms]
    longest = [max(len(course.solved) for course in of.values()) for of in courses]
    values = [_measured(arm, of, answer, max(longest)) for arm, of in zip(arms, courses, strict=True)]
    return Comparison(
        arms=tuple(
            Standing(
                arm.name,
                tuple(str(one.folder) for one in arm.played if one.folder is not None),
                len(arm.trees),
                len(arm.unfinished),
                *counts,
                {name: None if of[name] is None else _mean(of[name] or {}) for name in MEASURES},
            )
            for arm, counts, of in zip(arms, pairing.counts, values, strict=True)
        ),
        pairs=len(keys),
        problems=len({problem for problem, _ in keys}),
        expected=len(pairing.expected),
        nodes=nodes,
        answer=answer,
        differences=tuple(_differences(arms, values, pairing.expected)),
        curves=tuple(_curves(arms, courses, answer)),
        teams=tuple(_teams(arms, keys, nodes)),
        notes=(*pairing.notes, *_notes(arms, courses, longest, nodes)),
    )


def _mean(values: Mapping[Key, float]) -> float:
    return float(np.mean([*by_problem(values).values()]))


Values: TypeAlias = dict[str, dict[Key, float] | None]
"""Measure -> (problem, seed) -> value; None where the logs do not tell."""


def _measured(arm: Arm, courses: Mapping[Key, Course], answer: AnswerRule, longest: int) -> Values:
    """Return what the paired trees of a search come to; areas are over 1 to `longest` expansions."""
    agreed = answer == "agreement"
    solved = {key: float(any(course.solved)) for key, course in courses.items()}
    answered = {key: float(course.answered[-1]) if course.answered else 0.0 for key, course in courses.items()}
    return {
        "pass_at_1_mcts": {key: float(arm.answered(key)) for key in courses} if agreed else answered,
        "pass_at_n": solved,
        "area_at_1": None if agreed else {key: _area(course.answered, longest) for key, course in courses.items()},
        "area_at_n": {key: _area(course.solved, longest) for key, course in courses.items()},
        "nodes": {key: float(len(course.solved)) for key, course in courses.items()},
        "tokens": _spent(courses, "tokens"),
        "seconds": _spent(courses, "seconds"),
    }


def _area(reached: Sequence[bool], longest: int) -> float:
    """Return the mean of what is reached after 1 to `longest` expansions; a tree stays as it ended."""
    return (sum(reached) + (longest - len(reached)) * (bool(reached) and reached[-1])) / max(longest, 1)


def _spent(courses: Mapping[Key, Course], axis: Axis) -> dict[Key, float] | None:
    """Return what each tree spent; None where it is not known of all, or is nothing."""
    found = {}
    for key, course in courses.items():
        spent = course.along(axis)
        if spent is None:
            return None
        found[key] = float(spent[-1]) if spent else 0.0
    return found if any(found.values()) else None


def _differences(arms: Sequence[Arm], values: Sequence[Values], expected: frozenset[Key]) -> list[Difference]:
    """Return each search minus the first, measure by measure."""
    found: list[Difference] = []
    for measure in MEASURES:
        base, rows = values[0][measure], []
        for arm, of in zip(arms[1:], values[1:], strict=True):
            ours = of[measure]
            if base is None or ours is None:
                continue
            each = by_problem({key: ours[key] - base[key] for key in ours})
            differences = np.array([*each.values()])
            missing = expected - ours.keys()
            bounded = measure in ("pass_at_1_mcts", "pass_at_n") and bool(missing)
            rows.append(
                Difference(
                    arm.name,
                    arms[0].name,
                    measure,
                    float(differences.mean()),
                    bootstrap_interval(differences),
                    sign_flip_p([*each.values()]),
                    1.0,
                    minimum_detectable_effect(differences) if differences.std() > 0 else None,
                    _bounds({key: ours[key] - base[key] for key in ours}, missing) if bounded else None,
                )
            )
        adjusted = holm([row.p for row in rows])
        found += [replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True)]
    return found


def _bounds(differences: Mapping[Key, float], missing: Iterable[Key]) -> tuple[float, float]:
    """Return between which values a mean difference of shares lies whatever the missing pairs come to."""
    low, high = (_mean({**differences, **dict.fromkeys(missing, end)}) for end in (-1.0, 1.0))
    return low, high


def _curves(arms: Sequence[Arm], courses: Sequence[Mapping[Key, Course]], answer: AnswerRule) -> Iterator[Curve]:
    """Yield the curves of all searches along each axis, at the same points."""
    for axis in AXES:
        spent = [_spent(of, axis) for of in courses]
        if any(one is None for one in spent):
            continue
        most = max(max(one.values()) for one in spent if one is not None)
        points = np.linspace(most / _POINTS, most, _POINTS)
        if axis == "nodes":
            doubled = 2.0 ** np.arange(int(np.log2(most)) + 1)
            points = np.unique([*np.linspace(1, most, min(int(most), _POINTS)).round(), *doubled])
        for arm, of in zip(arms, courses, strict=True):
            for measure in get_args(Reached):
                if measure == "pass_at_1_mcts" and answer == "agreement":
                    continue
                name = "answered" if measure == "pass_at_1_mcts" else "solved"
                reached = {key: (course.along(axis) or (), getattr(course, name)) for key, course in of.items()}
                heights = np.array(
                    [[*by_problem({key: at(*one, x) for key, one in reached.items()}).values()] for x in points]
                )
                low, high = bootstrap_band(heights.T)
                ends = (tuple(map(float, one)) for one in (points, heights.mean(axis=1), low, high))
                yield Curve(arm.name, measure, axis, *ends)


def _teams(arms: Sequence[Arm], keys: Sequence[Key], nodes: int | None) -> Iterator[Complementarity]:
    """Yield what each team finds above its best member, of which each has a search of its own here."""
    alone = {next(iter(arm.team.values())): arm for arm in reversed(arms) if len({*arm.team.values()}) == 1}
    for arm in arms:
        members = [alone[policy] for policy in dict.fromkeys(arm.team.values()) if policy in alone]
        if len(members) < 2 or len(members) < len({*arm.team.values()}):
            continue
        most = min(max(len(one.courses[key].solved) for key in keys) for one in (arm, *members))
        most = most if nodes is None else min(most, nodes)
        solved = np.array(
            [
                [*by_problem({key: float(any(one.courses[key].first(most).solved)) for key in keys}).values()]
                for one in (arm, *members)
            ]
        )
        interval = bootstrap_interval(solved.T, statistic=lambda means: means[:, 0] - means[:, 1:].max(axis=1))
        best = members[int(solved[1:].mean(axis=1).argmax())]
        yield Complementarity(
            arm.name,
            tuple(one.name for one in members),
            best.name,
            most,
            complementarity(solved[0], solved[1:]),
            interval,
        )


def _notes(
    arms: Sequence[Arm], courses: Sequence[Mapping[Key, Course]], longest: Sequence[int], nodes: int | None
) -> Iterator[str]:
    """Yield what a reader has to know of what was spent and recorded."""
    if len({*longest}) > 1:
        spent = ", ".join(f"{arm.name} {most}" for arm, most in zip(arms, longest, strict=True))
        yield f"the longest trees differ in expansions ({spent}); nodes {min(longest)} compares all after equally many"
    for axis in AXES[1:]:
        silent = [arm.name for arm, of in zip(arms, courses, strict=True) if _spent(of, axis) is None]
        if silent:
            yield f"{axis} are left out: the traces of {', '.join(silent)} do not tell them"
