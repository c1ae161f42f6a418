"""Evaluation of finished trees on hidden tests: the only place that opens them.

Hidden verdicts never enter a log; they are kept in `hidden.jsonl` of the run folder, and answers by agreement in
`agreement.jsonl`, so that an evaluation that was cut off goes on where it stopped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from mars2_env.base.markup import table
from mars2_env.engine import RUN_FILE, read_run
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.judge import Judge
from mars2_env.log import Tree, read_log
from mars2_env.problems import ProblemSet
from mars2_env.results.answers import AnswerRule
from mars2_env.results.answers import answer as choose
from mars2_env.results.variations import INPUTS
from mars2_env.results.verdicts import AGREEMENT_FILE, HIDDEN_FILE, Agreement, HiddenVerdict, Kept, key_of
from mars2_env.sandbox import Sandbox
from mars2_env.tasks import load_from, shared_sandbox
from mars2_env.types import Limits, Problem
from mars2_env.version import __version__


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
        unfinished: how many trees were left out because they were cut off or ended by sandbox faults, which say nothing
            about programs.
        rule: how answers were chosen: `best`, `reward` or `agreement`.
    """

    trees: tuple[TreeResult, ...]
    unfinished: int = 0
    rule: AnswerRule = "best"

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

    def __repr__(self) -> str:
        """The results in short; every tree's is in `trees`."""
        shares = f", Pass@1(MCTS) {self.pass_at_1_mcts:.3f}, Pass@N {self.pass_at_n:.3f}" if self.trees else ""
        return f"Results({len(self.trees)} trees{shares}, {self.unfinished} left out)"

    def _repr_html_(self) -> str:
        """The results for notebooks: a row a tree."""
        rows = [list(asdict(tree).values()) for tree in self.trees]
        return table(repr(self), [one.name for one in fields(TreeResult)], rows)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, as `mars2 evaluate --json` prints it.

        Keys: `trees` and `unfinished` (how many were graded, and left out), `answer` (the rule), `pass_at_1_mcts`,
        `pass_at_n` and `duplicate_share` (shares), `pass_at_1_mcts_interval` and `pass_at_n_interval` ([low, high], 95
        %), `by_tree` (a list with the fields of `TreeResult`).
        """
        return {
            "trees": len(self.trees),
            "unfinished": self.unfinished,
            "answer": self.rule,
            "pass_at_1_mcts": self.pass_at_1_mcts,
            "pass_at_1_mcts_interval": list(self.interval(self.pass_at_1_mcts)),
            "pass_at_n": self.pass_at_n,
            "pass_at_n_interval": list(self.interval(self.pass_at_n)),
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

    def interval(self, share: float) -> tuple[float, float]:
        """Return the 95 % Wilson interval of a share of these trees."""
        return wilson_interval(round(share * self._some), self._some)


def wilson_interval(successes: int, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927): sound at 0, at 1 and for few trials.

    Args:
        successes: how many of `n` trials succeeded.
        n: how many trials, at least 1.
        z: quantile of the normal distribution; 1.96 for 95 %.
    """
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def evaluate(
    log_or_trees: str | Path | Iterable[Tree],
    *,
    problems: ProblemSet | None = None,
    sandbox: Sandbox | None = None,
    answer: AnswerRule = "best",
    observer: Callable[[int, int], None] | None = None,
) -> Results:
    """Grade the nodes of finished trees on hidden tests.

    Args:
        log_or_trees: a run folder, or trees.
        problems: the problem set that was played; a run folder knows how to load its own.
        sandbox: the sandbox to run programs in; by default the one this process shares.
        answer: how the one answer of each tree is chosen, never by a hidden test (`mars2_env.answer`).
        observer: called with (nodes graded, nodes in all) as the work goes on.

    Raises:
        ConfigError: there is nothing to evaluate, or no problem set, or another one than was played.
        LogError: the run folder is unreadable.
        SandboxError: the sandbox could not decide; what was graded is kept.
    """
    if answer not in get_args(AnswerRule):
        raise ConfigError(unknown_name("way to answer", str(answer), get_args(AnswerRule)))
    folder: Path | None = None
    if isinstance(log_or_trees, str | Path):
        folder = Path(log_or_trees)
        trees = read_log(folder)
        if problems is None:
            source = read_run(folder).get("source") if (folder / RUN_FILE).exists() else None
            if not isinstance(source, dict) or "problems" not in source:
                raise ConfigError(f"{folder} does not say how its problems were loaded; call evaluate(..., problems=).")
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
        raise ConfigError(f"there is no finished tree among the {len(trees)} given; run the search to its end first.")
    for tree in finished:
        if tree.header.problems != problems.hash:
            raise ConfigError(
                f"the tree of {tree.problem!r} was grown on another version of problem set {problems.name!r} "
                f"(hash {tree.header.problems:.12} and not {problems.hash:.12})."
            )
        if not problems[tree.problem].hidden:
            raise ConfigError(f"problem {tree.problem!r} has no hidden tests to evaluate on.")
    known = Kept(None if folder is None else folder / HIDDEN_FILE, HiddenVerdict)
    agreed = Kept(None if folder is None else folder / AGREEMENT_FILE, Agreement)
    total = sum(len(tree.nodes) for tree in finished)
    done = 0
    results = []
    used = sandbox if sandbox is not None else shared_sandbox("auto")

    def result(tree: Tree) -> TreeResult:
        problem, settings = problems[tree.problem], tree.header.task
        if settings["limits"] is not None:
            problem = replace(problem, limits=Limits(**settings["limits"]))
        judge = Judge(used, strict_types=settings["strict_types"])
        if answer == "agreement":
            number = _agreement(tree, problem, used, agreed)
        else:
            found = choose(tree, answer)
            number = None if found is None else found.id
        return _evaluate_tree(tree, problem, judge, number, known)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        try:
            for one in pool.map(result, finished):
                results.append(one)
                done += one.nodes
                if observer is not None:
                    observer(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            known.close()
            agreed.close()
    return Results(tuple(results), len(trees) - len(finished), answer)


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
            verdict = judge.grade(problem, node.program, tests="hidden")
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
