"""Grading of finished trees on hidden tests: what is to be graded, and the only place that opens them.

Hidden verdicts never enter a log; they are kept in `hidden.jsonl` of the run folder, and answers by agreement in
`agreement.jsonl`, so that an evaluation that was cut off goes on where it stopped.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from threading import Event
from typing import Any, get_args

import msgspec

from mars2_env.base.abilities import keeps
from mars2_env.base.checks import flag, function, instance
from mars2_env.base.machine import cores
from mars2_env.engine import RUN_FILE, read_run
from mars2_env.errors import ConfigError, LogError, Mars2Error, SandboxUnavailableError, unknown_name
from mars2_env.judge import Judge
from mars2_env.log import Tree, read_log
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.results.answers import AnswerRule
from mars2_env.results.answers import answer as choose
from mars2_env.results.variations import INPUTS
from mars2_env.results.verdicts import AGREEMENT_FILE, HIDDEN_FILE, Agreement, HiddenVerdict, Kept, key_of
from mars2_env.sandbox import Sandbox, kind_of
from mars2_env.tasks import load_from, outlasting, shared_sandbox
from mars2_env.types import Limits, Problem
from mars2_env.version import __version__

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Played:
    """What was played and can be graded: the trees of a run folder, or trees that were handed over.

    Attributes:
        folder: the run folder, None for trees.
        run: what it says was run (`read_run`); empty where nothing says so.
        problems: the problem set that was played.
        finished: the trees that are graded.
        unfinished: those that were cut off or ended by faults, which say nothing about programs.
        plan: the trees, as (problem, seed), that the folder is to hold; None if it does not say.
    """

    folder: Path | None
    run: Mapping[str, Any]
    problems: ProblemSet
    finished: tuple[Tree, ...]
    unfinished: tuple[Tree, ...]
    plan: frozenset[tuple[str, int | None]] | None


@dataclass(frozen=True, slots=True)
class GradedTree:
    """A tree on hidden tests: of each node, in order of number, whether it passes, and the number of its answer."""

    tree: Tree
    passed: tuple[bool, ...]
    answer: int | None


def checked(
    where: str,
    problems: ProblemSet | str | None,
    sandbox: Sandbox | None,
    answer: str,
    partial: bool,
    observer: Callable[[int, int], None] | None,
) -> ProblemSet | None:
    """Check the arguments of what grades, and return the problem set that is named, if one is.

    Raises:
        ConfigError: one of them is none; it is named as that of the function `where`.
    """
    if isinstance(problems, str):
        problems = load_problems(problems)
    instance("problems", problems, ProblemSet | None, "a problem set, or the name of one", where=where)
    if sandbox is not None and (isinstance(sandbox, type) or not keeps(sandbox, Sandbox)):
        raise ConfigError(
            f"{where}(sandbox={sandbox!r:.200}): give a sandbox, such as make_sandbox('docker'), or nothing for the "
            "kind that the trees were grown in."
        )
    flag("partial", partial, where=where)
    function("observer", observer, optional=True, where=where)
    if answer not in get_args(AnswerRule):
        raise ConfigError(unknown_name("way to answer", str(answer), get_args(AnswerRule)))
    return problems


def gather(
    log_or_trees: str | Path | Iterable[Tree],
    problems: ProblemSet | None = None,
    *,
    partial: bool = False,
    where: str = "evaluate",
    loaded: dict[bytes, ProblemSet] | None = None,
) -> Played:
    """Read what is to be graded, and check that it can be.

    Args:
        log_or_trees: a run folder, or trees.
        problems: the problem set that was played; a run folder knows how to load its own.
        partial: whether a run folder whose plan is not finished is taken all the same.
        where: the function that the trees were given to, for messages.
        loaded: problem sets that were loaded for other run folders, which is added to.

    Raises:
        ConfigError: there is nothing to grade, or no problem set, or another one than was played, or a run is not
            finished.
        LogError: the run folder is unreadable.
    """
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
            key = msgspec.json.encode(source, order="deterministic")
            loaded = {} if loaded is None else loaded
            problems = loaded[key] if key in loaded else loaded.setdefault(key, load_from(source))
    else:
        trees = list(log_or_trees) if isinstance(log_or_trees, Iterable) else [log_or_trees]
        if wrong := [one for one in trees if not isinstance(one, Tree)]:
            raise ConfigError(f"{where}() takes a run folder, or trees as `rollout` gives them, not {wrong[0]!r:.200}.")
    if problems is None:
        raise ConfigError(f"{where}(trees) needs problems=, the problem set that was played.")
    finished = [tree for tree in trees if tree.ended not in (None, "faults")]
    if not finished:
        faults = sum(tree.ended == "faults" for tree in trees)
        raise ConfigError(
            f"there is no finished tree among the {len(trees)} given: {faults} ended by faults, {len(trees) - faults} "
            f"are cut off. {_finishing(folder)}"
        )
    if len({tree.path or id(tree) for tree in finished}) < len(finished):
        raise ConfigError(f"{len(finished)} trees were given, some of them twice; each counts once, so give it once.")
    plan = _plan(run, trees)
    if plan is not None and len(finished) < len(plan) and not partial:
        raise ConfigError(
            f"{folder}: {len(finished)} of {len(plan)} planned trees are finished, and those that come first are no "
            "fair sample of all. Run the same search again to finish it, or evaluate what there is, with bounds on the "
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
    left = tuple(tree for tree in trees if tree.ended in (None, "faults"))
    return Played(folder, run, problems, tuple(finished), left, plan)


def grade(
    played: Sequence[Played],
    *,
    sandbox: Sandbox | None = None,
    answer: AnswerRule = "best",
    observer: Callable[[int, int], None] | None = None,
) -> list[list[GradedTree]]:
    """Grade the nodes of finished trees on hidden tests; what a run folder keeps of that is not done again.

    Args:
        played: what is graded.
        sandbox: where programs run; by default the one this process shares of the kind that the trees were grown in,
            or, where that cannot be had, of the best kind.
        answer: how the one answer of each tree is chosen.
        observer: called with (nodes graded, nodes in all) as the work goes on.

    Returns:
        The graded trees of each, in order.

    Raises:
        SandboxError: the sandbox could not decide; what was graded is kept.
    """
    total = sum(len(tree.nodes) for one in played for tree in one.finished)
    done = 0
    leave = Event()  # nobody waits for a sandbox any more
    used = sandbox if sandbox is not None else sandbox_for([tree for one in played for tree in one.finished])
    folders = [one.folder for one in played]
    known = [Kept(None if folder is None else folder / HIDDEN_FILE, HiddenVerdict) for folder in folders]
    agreed = [Kept(None if folder is None else folder / AGREEMENT_FILE, Agreement) for folder in folders]

    def graded(number: int, tree: Tree) -> GradedTree:
        problem = played[number].problems[tree.problem]
        judge = Judge(used, strict_types=tree.header.task["strict_types"])
        if (limits := tree.header.task["limits"]) is not None:
            problem = replace(problem, limits=Limits(**limits))
        if answer == "agreement":
            chosen = _agreement(tree, problem, used, agreed[number])
        else:
            found = choose(tree, answer)
            chosen = None if found is None else found.id
        return GradedTree(tree, _passed(tree, problem, judge, known[number], leave), chosen)

    results: list[list[GradedTree]] = [[] for _ in played]
    work = [(number, tree) for number, one in enumerate(played) for tree in one.finished]
    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for (number, _), one in zip(work, pool.map(lambda job: graded(*job), work), strict=True):
                results[number].append(one)
                done += len(one.passed)
                if observer is not None:
                    observer(done, total)
        except BaseException:
            leave.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            for verdicts, answers in zip(known, agreed, strict=True):
                verdicts.close()
                answers.close()
    return results


def search_of(played: Played) -> bytes:
    """Return a digest of what was played but for seed and problems: equal for runs of one search.

    A run that does not say who played, as an environment's, is equal to itself alone.
    """
    run = played.run
    who = run.get("team") or str(played.folder)
    parts = (played.finished[0].header.task, played.problems.hash, who, run.get("identities"), run.get("in_flight"))
    return blake2b(msgspec.json.encode(parts, order="deterministic"), digest_size=16).digest()


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


def _plan(run: Mapping[str, Any], trees: Sequence[Tree]) -> frozenset[tuple[str, int | None]] | None:
    """Return the trees that a run folder is to hold, those that are there in any case; None if it does not say."""
    plan = run.get("plan")
    if not isinstance(plan, list):
        return None
    if not all(isinstance(problem, str) for problem in plan) or not isinstance(run.get("seed"), int | None):
        raise LogError(f"{RUN_FILE} of these trees: its plan is a list of problems' ids and its seed a whole number.")
    return frozenset((problem, run.get("seed")) for problem in plan) | {(tree.problem, tree.seed) for tree in trees}


def sandbox_for(trees: Sequence[Tree]) -> Sandbox:
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


def _passed(tree: Tree, problem: Problem, judge: Judge, known: Kept[HiddenVerdict], leave: Event) -> tuple[bool, ...]:
    """Return of each node whether it passes the hidden tests, from what was found earlier where it was."""
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
    return tuple(passed[node.id] for node in tree.nodes)
