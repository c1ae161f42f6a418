"""Evaluation: what finished trees come to on hidden tests, as shares with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from mars2_env.base.checks import one_of, real_number, said, whole_number
from mars2_env.base.markup import table
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.log import Tree
from mars2_env.problems import ProblemSet
from mars2_env.results.answers import AnswerRule
from mars2_env.results.grading import GradedTree, Played, checked, gather, grade, search_of
from mars2_env.results.intervals import clustered_interval, wilson_interval
from mars2_env.sandbox import Sandbox

Measure: TypeAlias = Literal["pass_at_1_mcts", "pass_at_n"]
"""A share of trees: those whose answer passes, those in which some node does."""


@dataclass(frozen=True, slots=True)
class TreeResult:
    """One tree on hidden tests: whether its answer passes, how many of its nodes do, how many repeat a program."""

    problem: str
    seed: int
    nodes: int
    duplicates: int
    answer: int | None
    answer_passed: bool
    nodes_passed: int


@dataclass(frozen=True, slots=True)
class Results:
    """What trees come to on hidden tests.

    Attributes:
        trees: one entry a tree.
        unfinished: how many trees were left out because they were cut off or ended by faults, which say nothing about
            programs.
        rule: how answers were chosen: `best`, `reward` or `agreement`.
        planned: how many trees the run was to grow; None where nobody wrote that down (trees that were handed over,
            folders of environments or of earlier versions).
    """

    trees: tuple[TreeResult, ...]
    unfinished: int = 0
    rule: AnswerRule = "best"
    planned: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.trees, tuple) or not all(isinstance(tree, TreeResult) for tree in self.trees):
            raise ConfigError(f"{said('trees', self.trees, 'Results')}: must be a tuple of TreeResults.")
        whole_number("unfinished", self.unfinished, least=0, where="Results")
        one_of("rule", self.rule, get_args(AnswerRule), where="Results")
        if self.planned is not None:
            whole_number("planned", self.planned, least=len(self.trees), where="Results")

    @property
    def pass_at_1_mcts(self) -> float:
        """Pass@1(MCTS): the share of trees whose one answer, chosen by public information, passes the hidden tests."""
        return sum(tree.answer_passed for tree in self.trees) / self._some

    @property
    def pass_at_n(self) -> float:
        """Pass@N: the share of trees in which some node passes the hidden tests."""
        return sum(tree.nodes_passed > 0 for tree in self.trees) / self._some

    @property
    def _some(self) -> int:
        if not self.trees:
            raise ConfigError("these results have no trees, and so no shares.")
        return len(self.trees)

    @property
    def duplicate_share(self) -> float:
        """The share of nodes that repeat an earlier program of their tree (after normalisation)."""
        return sum(tree.duplicates for tree in self.trees) / max(sum(tree.nodes for tree in self.trees), 1)

    @property
    def missing(self) -> int:
        """How many trees that were planned are not in these results, as far as is known."""
        return self.unfinished if self.planned is None else self.planned - len(self.trees)

    def __repr__(self) -> str:
        """The results in short; every tree's is in `trees`."""
        shares = f", Pass@1(MCTS) {self.pass_at_1_mcts:.3f}, Pass@N {self.pass_at_n:.3f}" if self.trees else ""
        return f"Results({len(self.trees)} trees{shares}, {self.missing} missing)"

    def _repr_html_(self) -> str:
        """The results for notebooks: a row a tree."""
        rows = [list(asdict(tree).values()) for tree in self.trees]
        return table(repr(self), [one.name for one in fields(TreeResult)], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, as `mars2 evaluate --json` prints it.

        Keys: `trees` and `unfinished` (how many were graded, and left out), `planned` and `missing` (how many the run
        was to grow, None where that is not known, and how many of these are not there), `answer` (the rule),
        `pass_at_1_mcts`, `pass_at_n` and `duplicate_share` (shares), with `_interval` behind the first two their 95 %
        intervals and with `_bounds` what the missing trees can make of them ([low, high]), `by_tree` (a list with the
        fields of `TreeResult`).
        """
        return {
            "trees": len(self.trees),
            "unfinished": self.unfinished,
            "planned": self.planned,
            "missing": self.missing,
            "answer": self.rule,
            "pass_at_1_mcts": self.pass_at_1_mcts,
            "pass_at_1_mcts_interval": list(self.interval("pass_at_1_mcts")),
            "pass_at_1_mcts_bounds": list(self.bounds("pass_at_1_mcts")),
            "pass_at_n": self.pass_at_n,
            "pass_at_n_interval": list(self.interval("pass_at_n")),
            "pass_at_n_bounds": list(self.bounds("pass_at_n")),
            "duplicate_share": self.duplicate_share,
            "by_tree": [asdict(tree) for tree in self.trees],
        }

    def to_dataframe(self) -> Any:
        """Return a pandas DataFrame, a row a tree, with the fields of `TreeResult` as columns.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ConfigError(
                "to_dataframe() needs pandas: `pip install pandas`, or take to_dict(), which has the same."
            ) from None
        return pandas.DataFrame([asdict(tree) for tree in self.trees], columns=[one.name for one in fields(TreeResult)])

    def interval(self, measure: Measure | float) -> tuple[float, float]:
        """Return the 95 % confidence interval of a share of these trees.

        It is the Wilson interval; where there are several trees of one problem, at their effective number, since they
        tell less than as many problems would (`mars2_env.results.intervals`).

        Args:
            measure: `pass_at_1_mcts` or `pass_at_n`; a number where each tree is of a problem of its own.

        Raises:
            ConfigError: the measure is unknown, or a number where problems have several trees, or there are no trees.
        """
        problems = [tree.problem for tree in self.trees[: self._some]]
        if isinstance(measure, str):
            return clustered_interval(self._passed(measure), problems)
        if len(set(problems)) < len(problems):
            raise ConfigError(
                f"interval({measure!r}): {len(problems)} trees are of {len(set(problems))} problems, and how much "
                "those of one are alike decides; name the measure, 'pass_at_1_mcts' or 'pass_at_n'."
            )
        real_number("measure", measure, least=0, most=1, where="interval")
        return wilson_interval(round(measure * len(self.trees)), len(self.trees))

    def bounds(self, measure: Measure) -> tuple[float, float]:
        """Return between which values a share lies whatever the missing trees come to: all fail, or all pass.

        Raises:
            ConfigError: the measure is unknown, or there are no trees, neither here nor missing.
        """
        passed, whole = sum(self._passed(measure)), len(self.trees) + self.missing
        if not whole:
            raise ConfigError("these results have no trees, and none is missing: there are no shares to bound.")
        return passed / whole, (passed + self.missing) / whole

    def _passed(self, measure: str) -> list[bool]:
        if measure not in get_args(Measure):
            raise ConfigError(unknown_name("measure", measure, get_args(Measure)))
        if measure == "pass_at_n":
            return [tree.nodes_passed > 0 for tree in self.trees]
        return [tree.answer_passed for tree in self.trees]


def evaluate(
    log_or_trees: str | Path | Iterable[str | Path] | Iterable[Tree],
    *,
    problems: ProblemSet | str | None = None,
    sandbox: Sandbox | None = None,
    answer: AnswerRule = "best",
    partial: bool = False,
    observer: Callable[[int, int], None] | None = None,
) -> Results:
    """Grade the nodes of finished trees on hidden tests.

    Args:
        log_or_trees: a run folder; several of one search, as under other seeds, which are taken together; or trees.
        problems: the problem set that was played, or its name; a run folder knows how to load its own.
        sandbox: the sandbox to run programs in; by default the one this process shares of the kind that the trees were
            grown in, or, where that cannot be had, of the best kind.
        answer: how the one answer of each tree is chosen, never by a hidden test (`mars2_env.answer`).
        partial: whether a run folder whose plan is not finished is evaluated all the same; `Results.bounds` then says
            what the missing trees can change. Trees that come first are not a fair sample: refused by default.
        observer: called with (nodes graded, nodes in all) as the work goes on.

    Raises:
        ConfigError: there is nothing to evaluate, or no problem set, or another one than was played, or a run is not
            finished, or several are not of one search.
        LogError: the run folder is unreadable.
        SandboxError: the sandbox could not decide; what was graded is kept.
    """
    problems = checked("evaluate", problems, sandbox, answer, partial, observer)
    if isinstance(log_or_trees, Iterable) and not isinstance(log_or_trees, str | Path):
        log_or_trees = list(log_or_trees)  # type: ignore[assignment]  # paths or trees, which is seen below
    folders = _folders(log_or_trees)
    if folders is None:
        played = [gather(log_or_trees, problems, partial=partial)]  # type: ignore[arg-type]  # it checks it
    else:
        loaded: dict[bytes, ProblemSet] = {}
        played = [gather(folder, problems, partial=partial, loaded=loaded) for folder in folders]
        _check_one_search(played)
    graded = grade(played, sandbox=sandbox, answer=answer, observer=observer)
    return Results(
        tuple(_result(one) for trees in graded for one in trees),
        sum(len(one.unfinished) for one in played),
        answer,
        None if any(one.plan is None for one in played) else sum(len(one.plan or ()) for one in played),
    )


def _folders(given: Any) -> list[Path] | None:
    """Return the run folders that are given; None for anything else."""
    if isinstance(given, str | Path):
        return [Path(given)]
    if isinstance(given, list) and given and all(isinstance(one, str | Path) for one in given):
        return [Path(one) for one in given]
    return None


def _check_one_search(played: Sequence[Played]) -> None:
    """Check that several run folders are of one search, each with trees of its own.

    Raises:
        ConfigError: two are not, or hold the same tree.
    """
    seen: dict[tuple[str, int], Played] = {}
    for one in played:
        if search_of(one) != search_of(played[0]):
            raise ConfigError(
                f"{one.folder} and {played[0].folder} are runs of different searches, as far as they say, so "
                f"they have no one result; compare them: mars2 compare {played[0].folder} {one.folder}."
            )
        for tree in one.finished:
            if (first := seen.setdefault((tree.problem, tree.seed), one)) is not one:
                raise ConfigError(
                    f"{first.folder} and {one.folder} both hold the tree of {tree.problem!r} with seed {tree.seed}; "
                    "runs that are taken together have other seeds, or other problems."
                )


def _result(graded: GradedTree) -> TreeResult:
    tree = graded.tree
    return TreeResult(
        problem=tree.problem,
        seed=tree.seed,
        nodes=len(tree.nodes),
        duplicates=tree.duplicates,
        answer=graded.answer,
        answer_passed=graded.answer is not None and graded.passed[graded.answer - 1],
        nodes_passed=sum(graded.passed),
    )
