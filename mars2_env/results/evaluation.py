"""Evaluation of finished trees on hidden tests: the only place that opens them.

Hidden verdicts never enter a log; they are kept in `hidden.jsonl` of the run folder, and answers by agreement in
`agreement.jsonl`, so that an evaluation that was cut off goes on where it stopped.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal, TypeAlias, get_args

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import flag, function, instance, one_of, real_number, said, whole_number
from mars2_env.base.machine import cores
from mars2_env.base.markup import table
from mars2_env.engine import RUN_FILE, read_run
from mars2_env.errors import ConfigError, LogError, Mars2Error, SandboxUnavailableError, unknown_name
from mars2_env.judge import Judge
from mars2_env.log import Tree, read_log
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.results.answers import AnswerRule
from mars2_env.results.answers import answer as choose
from mars2_env.results.intervals import clustered_interval, wilson_interval
from mars2_env.results.variations import INPUTS
from mars2_env.results.verdicts import AGREEMENT_FILE, HIDDEN_FILE, Agreement, HiddenVerdict, Kept, key_of
from mars2_env.sandbox import Sandbox, kind_of
from mars2_env.tasks import load_from, outlasting, shared_sandbox
from mars2_env.types import Limits, Problem
from mars2_env.version import __version__

_log = logging.getLogger(__name__)


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
    log_or_trees: str | Path | Iterable[Tree],
    *,
    problems: ProblemSet | str | None = None,
    sandbox: Sandbox | None = None,
    answer: AnswerRule = "best",
    partial: bool = False,
    observer: Callable[[int, int], None] | None = None,
) -> Results:
    """Grade the nodes of finished trees on hidden tests.

    Args:
        log_or_trees: a run folder, or trees.
        problems: the problem set that was played, or its name; a run folder knows how to load its own.
        sandbox: the sandbox to run programs in; by default the one this process shares of the kind that the trees were
            grown in, or, where that cannot be had, of the best kind.
        answer: how the one answer of each tree is chosen, never by a hidden test (`mars2_env.answer`).
        partial: whether a run folder whose plan is not finished is evaluated all the same; `Results.bounds` then says
            what the missing trees can change. Trees that come first are not a fair sample: refused by default.
        observer: called with (nodes graded, nodes in all) as the work goes on.

    Raises:
        ConfigError: there is nothing to evaluate, or no problem set, or another one than was played, or a run is not
            finished.
        LogError: the run folder is unreadable.
        SandboxError: the sandbox could not decide; what was graded is kept.
    """
    if isinstance(problems, str):
        problems = load_problems(problems)
    instance("problems", problems, ProblemSet | None, "a problem set, or the name of one", where="evaluate")
    if sandbox is not None and (isinstance(sandbox, type) or not keeps(sandbox, Sandbox)):
        raise ConfigError(
            f"evaluate(sandbox={sandbox!r:.200}): give a sandbox, such as make_sandbox('docker'), or nothing for the "
            "kind that the trees were grown in."
        )
    flag("partial", partial, where="evaluate")
    function("observer", observer, optional=True, where="evaluate")
    if answer not in get_args(AnswerRule):
        raise ConfigError(unknown_name("way to answer", str(answer), get_args(AnswerRule)))
    folder: Path | None = None
    run: dict[str, Any] = {}
    if isinstance(log_or_trees, str | Path):
        folder = Path(log_or_trees)
        trees = read_log(log_or_trees)
        run = read_run(folder) if (folder / RUN_FILE).exists() else {}
        if problems is None:
            source = run.get("source")
            if not isinstance(source, dict) or "problems" not in source:
                raise ConfigError(_unsourced(folder))
            problems = load_from(source)
    else:
        trees = list(log_or_trees) if isinstance(log_or_trees, Iterable) else [log_or_trees]
        if wrong := [one for one in trees if not isinstance(one, Tree)]:
            raise ConfigError(
                f"evaluate() takes a run folder, or trees as `rollout` gives them, not {wrong[0]!r:.200}."
            )
    if problems is None:
        raise ConfigError("evaluate(trees) needs problems=, the problem set that was played.")
    finished = [tree for tree in trees if tree.ended not in (None, "faults")]
    if not finished:
        faults = sum(tree.ended == "faults" for tree in trees)
        raise ConfigError(
            f"there is no finished tree among the {len(trees)} given: {faults} ended by faults, {len(trees) - faults} "
            f"are cut off. {_finishing(folder)}"
        )
    if len({tree.path or id(tree) for tree in finished}) < len(finished):
        raise ConfigError(f"{len(finished)} trees were given, some of them twice; each counts once, so give it once.")
    planned = _planned(run, trees)
    if planned is not None and len(finished) < planned and not partial:
        raise ConfigError(
            f"{folder}: {len(finished)} of {planned} planned trees are finished, and those that come first are no fair "
            "sample of all. Run the same search again to finish it, or evaluate what there is, with bounds on the "
            "rest, by partial=True (--partial)."
        )
    for tree in finished:
        if "task" in run and tree.header.task != run["task"]:
            raise ConfigError(
                f"{tree.path} is the log of another run: its task is not that of {folder}/{RUN_FILE}. Put it elsewhere."
            )
        if tree.header.problems != problems.hash:
            raise ConfigError(
                f"the tree of {tree.problem!r} was grown on another version of problem set {problems.name!r} "
                f"(hash {tree.header.problems:.12} and not {problems.hash:.12})."
            )
        if not problems[tree.problem].hidden:
            raise ConfigError(f"problem {tree.problem!r} has no hidden tests to evaluate on.")
        _check_settings(tree)
    known = Kept(None if folder is None else folder / HIDDEN_FILE, HiddenVerdict)
    agreed = Kept(None if folder is None else folder / AGREEMENT_FILE, Agreement)
    total = sum(len(tree.nodes) for tree in finished)
    done = 0
    leave = Event()  # nobody waits for a sandbox any more
    results = []
    used = sandbox if sandbox is not None else _sandbox_for(finished)

    def result(tree: Tree) -> TreeResult:
        problem, judge = problems[tree.problem], Judge(used, strict_types=tree.header.task["strict_types"])
        if (limits := tree.header.task["limits"]) is not None:
            problem = replace(problem, limits=Limits(**limits))
        if answer == "agreement":
            number = _agreement(tree, problem, used, agreed)
        else:
            found = choose(tree, answer)
            number = None if found is None else found.id
        return _evaluate_tree(tree, problem, judge, number, known, leave)

    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for one in pool.map(result, finished):
                results.append(one)
                done += one.nodes
                if observer is not None:
                    observer(done, total)
        except BaseException:
            leave.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            known.close()
            agreed.close()
    return Results(tuple(results), len(trees) - len(finished), answer, planned)


def _unsourced(folder: Path) -> str:
    """Return what to do about a run folder that does not say how its problems were loaded."""
    by_name = f"evaluate it in Python, where the set is named: mars2_env.evaluate({str(folder)!r}, problems=...)"
    if (folder / RUN_FILE).exists():
        why, mend = f"{RUN_FILE} in it lacks that", f"put {RUN_FILE} back as it was written"
    else:
        why = f"there is no {RUN_FILE} in it, as where an environment made it"
        mend = "if a search made it, run that again, which writes it anew"
    return f"{folder} does not say how its problems were loaded: {why}. Either {mend}, or {by_name}."


def _finishing(folder: Path | None) -> str:
    """Return how trees that are not finished can be finished: those of rollouts can, those of environments cannot."""
    if folder is None:
        return (
            "A rollout with the same arguments takes up those that it has in its run folder; an environment takes up "
            "none: play an episode to its end."
        )
    if (folder / RUN_FILE).exists():
        return "Run the same search (or rollout) again: it takes them up."
    return (
        f"There is no {RUN_FILE} in {folder}, so an environment began them, and it takes up none: play an episode to "
        "its end."
    )


def _check_settings(tree: Tree) -> None:
    """Check what a tree's header says of how its programs are judged.

    Raises:
        LogError: it says nothing, or what makes no sense.
    """
    try:
        flag("strict_types", tree.header.task["strict_types"])
        if (limits := tree.header.task["limits"]) is not None:
            Limits(**limits)
    except (Mars2Error, KeyError, TypeError) as error:
        where = f"the tree of {tree.problem!r}" if tree.path is None else tree.path
        raise LogError(f"{where}: line 1: its task says nothing sensible of limits and types: {error}") from None


def _planned(run: Mapping[str, Any], trees: Sequence[Tree]) -> int | None:
    """Return how many trees a run folder is to hold, those that are there in any case; None if it does not say."""
    plan = run.get("plan")
    if not isinstance(plan, list):
        return None
    if not all(isinstance(problem, str) for problem in plan) or not isinstance(run.get("seed"), int | None):
        raise LogError(f"{RUN_FILE} of these trees: its plan is a list of problems' ids and its seed a whole number.")
    return len({*((problem, run.get("seed")) for problem in plan), *((tree.problem, tree.seed) for tree in trees)})


def _sandbox_for(trees: Sequence[Tree]) -> Sandbox:
    """Return the sandbox that this process shares of the kind that all trees were grown in, else of the best kind."""
    kinds = {kind_of(tree.header.sandbox) for tree in trees}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        return shared_sandbox("auto")
    try:
        return shared_sandbox(kind)
    except SandboxUnavailableError as error:
        _log.warning("these trees were grown in %s, which cannot be had now; another is taken. %s", kind, error)
        return shared_sandbox("auto")


def _agreement(tree: Tree, problem: Problem, sandbox: Sandbox, agreed: Kept[Agreement]) -> int | None:
    """Return the number of a tree's answer by agreement, from what was found earlier where it was."""
    programs = "\n".join(
        f"{node.id} {len(node.program)} {node.program}" for node in tree.nodes if node.program is not None
    )
    key = key_of(tree, f"agreement {__version__} {INPUTS}\n{programs}")
    kept = agreed.get(key)
    if kept is None:
        found = choose(tree, "agreement", problem=problem.public_view(), sandbox=sandbox)
        kept = Agreement(tree.problem, key, None if found is None else found.id)
        agreed.add(kept)
    return kept.answer


def _evaluate_tree(
    tree: Tree,
    problem: Problem,
    judge: Judge,
    answer: int | None,
    known: Kept[HiddenVerdict],
    leave: Event,
) -> TreeResult:
    passed: dict[int, bool] = {}
    # the seed node of a repair problem is graded only where another node repeats it
    repeated = [tree.root] if tree.root is not None and any(node.duplicate_of == 0 for node in tree.nodes) else []
    for node in [*repeated, *tree.nodes]:
        if node.program is None:
            passed[node.id] = False
            continue
        if node.duplicate_of is not None:
            passed[node.id] = passed[node.duplicate_of]
            continue
        key = key_of(tree, node.program)
        kept = known.get(key)
        if kept is None:
            grade = functools.partial(judge.grade, problem, node.program, tests="hidden")
            verdict = outlasting(grade, leave.wait)
            kept = HiddenVerdict(tree.problem, key, verdict.passed)
            known.add(kept)
        passed[node.id] = kept.passed
    return TreeResult(
        problem=tree.problem,
        seed=tree.seed,
        nodes=len(tree.nodes),
        duplicates=tree.duplicates,
        answer=answer,
        answer_passed=answer is not None and passed[answer],
        nodes_passed=sum(passed[node.id] for node in tree.nodes),
    )
