"""Examples for a reward model: programs of logged trees, joined with what hidden tests found of them.

The verdicts are those that `mars2_env.evaluate` left in the run folder (`hidden.jsonl`). The tests themselves are not
read: of a problem only the statement comes in, of a verdict only what may be quoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from mars2_agents.models.calibration import Status
from mars2_env.base.checks import real_number
from mars2_env.engine import RUN_FILE, read_run
from mars2_env.errors import ConfigError
from mars2_env.log import Tree, read_log
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.results.verdicts import HIDDEN_FILE, HiddenVerdict, Kept, key_of
from mars2_env.tasks import load_from
from mars2_env.types import Verdict

UNTESTED: Final = "not tested"
"""The facts of a program that no public test was run on."""


@dataclass(frozen=True, slots=True)
class Example:
    """A program with what may be seen of it, and whether it passed the hidden tests.

    Attributes:
        problem: the problem's id.
        statement: the problem in words.
        facts: what public tests found (`facts`).
        program: the program.
        passed: whether it passed the problem's hidden tests.
        status: what public ones said.
    """

    problem: str
    statement: str
    facts: str
    program: str
    passed: bool
    status: Status

    @property
    def public(self) -> bool:
        """Whether it passed all public tests, of which there was at least one."""
        return self.status == "passed"


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples in the order of their logs.

    Attributes:
        rows: each program of a problem once.
        left_out: reason -> how many nodes gave none.
    """

    rows: tuple[Example, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> dict[str, str]:
        """The ids of the problems, in order -> a digest of the statement."""
        statements = {row.problem: row.statement for row in self.rows}
        return {problem: digest(statement) for problem, statement in statements.items()}

    @property
    def statuses(self) -> list[Status]:
        """What public tests said of each."""
        return [row.status for row in self.rows]

    @property
    def passed(self) -> np.ndarray:
        """Whether each passed the hidden tests, shape (rows,)."""
        return np.array([row.passed for row in self.rows], bool)

    def of(self, problems: Collection[str]) -> Examples:
        """Return those of some problems alone."""
        return Examples(tuple(row for row in self.rows if row.problem in problems))


def facts(verdict: Verdict | None) -> str:
    """Return what public tests found, in words: the outcome of each in listed order, and the error, if there was one.

    Args:
        verdict: the verdict, of which nothing is taken but what may be quoted; None where there is none.
    """
    if verdict is None:
        return UNTESTED
    public = verdict.public
    outcomes = " ".join(public.groups.get("public", ())) or public.settled or UNTESTED
    feedback = public.feedback
    if feedback is None or not feedback.error_type:
        return outcomes
    return f"{outcomes}\n{feedback.error_type}: {feedback.error_message}"


def status(verdict: Verdict | None) -> Status:
    """Return what public tests said of a program, in a word."""
    outcomes = () if verdict is None else verdict.public.outcomes
    if not outcomes:
        return "untested"
    return "passed" if all(one == "passed" for one in outcomes) else "failed"


def digest(statement: str) -> str:
    """Return a digest of a statement; layout and capitals do not count."""
    return sha256(" ".join(statement.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def read_examples(
    runs: Iterable[str | Path], *, problems: ProblemSet | str | None = None, allow: Collection[str] = ()
) -> Examples:
    """Return the examples of run folders that have been evaluated.

    Args:
        runs: the run folders.
        problems: the problem set that was played, or its name; by default as the folder says it was loaded.
        allow: names of evaluation sets that are taken all the same; nothing can be evaluated on these afterwards.

    Raises:
        ConfigError: a set is one for evaluation, or another one than was played, or no program has a hidden verdict.
        LogError: a folder is unreadable.
    """
    named = load_problems(problems) if isinstance(problems, str) else problems
    rows: dict[tuple[str, str], Example] = {}
    left_out: Counter[str] = Counter()
    for run in map(Path, [runs] if isinstance(runs, str | Path) else runs):
        trees = read_log(run)
        _read(run, trees, _played(run) if named is None else named, allow, rows, left_out)
    if not rows:
        raise ConfigError("no run folder was given, or none holds a program.")
    return Examples(tuple(rows.values()), dict(left_out))


def _played(run: Path) -> ProblemSet:
    """Return the problem set that a run folder says was played."""
    source = read_run(run).get("source") if (run / RUN_FILE).exists() else None
    if not isinstance(source, dict) or "problems" not in source:
        raise ConfigError(
            f"{run} does not say how its problems were loaded; give problems=..., the set that it played."
        )
    return load_from(source)


def _read(
    run: Path,
    trees: Sequence[Tree],
    problems: ProblemSet,
    allow: Collection[str],
    rows: dict[tuple[str, str], Example],
    left_out: Counter[str],
) -> None:
    """Add the examples of one run, and count what gave none."""
    if problems.use == "evaluation" and problems.name not in allow:
        raise ConfigError(
            f"{run} was played on {problems.name!r}, a set for evaluation: what learns from its hidden verdicts spoils "
            f"it. Train on another set, or say so by allow=[{problems.name!r}] (--allow {problems.name})."
        )
    known = Kept(run / HIDDEN_FILE, HiddenVerdict)
    judged = programs = 0
    for tree in trees:
        if tree.header.problems != problems.hash:
            raise ConfigError(
                f"{run}: the tree of {tree.problem!r} was grown on another version of problem set {problems.name!r} "
                f"(hash {tree.header.problems:.12} and not {problems.hash:.12}); give the one that was played."
            )
        statement = problems[tree.problem].statement
        for node in tree.nodes:
            if node.program is None:
                left_out["no program"] += 1
                continue
            programs += 1
            hidden = known.get(key_of(tree, node.program))
            judged += hidden is not None
            if hidden is None and node.duplicate_of is None:
                left_out["no hidden verdict"] += 1
            elif hidden is None or (tree.problem, node.program) in rows:
                left_out["repeated"] += 1
            else:
                public = node.verdict.public
                rows[tree.problem, node.program] = Example(
                    tree.problem, statement, facts(public), node.program, hidden.passed, status(public)
                )
    if programs and not judged:
        raise ConfigError(
            f"{run}: none of its {programs} programs has a hidden verdict in {HIDDEN_FILE}. Evaluate it first: "
            f"mars2 evaluate {run}"
        )


def split(examples: Examples, share: float, *, seed: int = 0) -> tuple[Examples, Examples]:
    """Return examples in two parts that have no problem in common.

    Args:
        examples: the examples.
        share: of the problems, what goes into the second part, at least one; between 0 and 1.
        seed: of the draw.

    Raises:
        ConfigError: there are fewer than two problems.
    """
    share = real_number("share", share, above=0, most=1, where="split")
    ids = list(examples.problems)
    if len(ids) < 2:
        raise ConfigError(
            f"the examples are of {len(ids)} problem(s); some are kept apart to calibrate and to measure on, so that "
            "at least two are needed. Grow trees for more problems."
        )
    count = min(max(round(share * len(ids)), 1), len(ids) - 1)
    order: Any = np.random.default_rng(seed).permutation(len(ids))
    second = {ids[place] for place in order[:count]}
    return examples.of(set(ids) - second), examples.of(second)
