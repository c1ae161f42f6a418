"""The answer of a finished tree: the one node that is handed in, chosen without hidden tests.

`agreement` runs programs, so it lives here and not in `Episode`; the rules themselves are `mars2_env.search.answers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from mars2_env.base import checks
from mars2_env.episode import Rules, chosen
from mars2_env.errors import ConfigError, SandboxError, unknown_name
from mars2_env.judge.compare import equal, same_output
from mars2_env.log import Tree
from mars2_env.results.variations import INPUTS, varied_inputs
from mars2_env.sandbox import Sandbox
from mars2_env.sandbox.base import Closes, RunsPrograms
from mars2_env.search.answers import agreement_answer
from mars2_env.types import Node, PublicView, Run, Stdin

AnswerRule: TypeAlias = Literal["best", "reward", "agreement"]


def answer(
    tree: Tree,
    how: AnswerRule = "best",
    *,
    problem: PublicView | None = None,
    sandbox: Sandbox | None = None,
    inputs: int = INPUTS,
    seed: int = 0,
) -> Node | None:
    """Return the answer of a tree; None if no node has a program.

    All rules put the score on public tests first; they say what decides among the nodes that share the highest.

    Args:
        tree: the tree, as `rollout` or `read_log` gives it.
        how: `best`: the latest (the paper); `reward`: the one that the reward model of the search likes best;
            `agreement`: the latest of the largest group that behaves alike on further inputs, varied from the public
            ones; a group is as large as it has different programs.
        problem: for `agreement`, what may be seen of the problem.
        sandbox: for `agreement`, where programs run.
        inputs: for `agreement`, how many further inputs.
        seed: for `agreement`, the source of these inputs.

    Raises:
        ConfigError: the rule is unknown, or `agreement` lacks problem or sandbox, or no node was rated for `reward`.
        SandboxError: the sandbox could not decide.
    """
    if how not in get_args(AnswerRule):
        raise ConfigError(unknown_name("way to answer", str(how), get_args(AnswerRule)))
    if not isinstance(tree, Tree):
        raise ConfigError(f"answer() takes a tree, as `rollout` or `read_log` gives it, not {tree!r:.200}.")
    rules = Rules(**tree.header.task["rules"])
    if how != "agreement":
        if how == "reward" and tree.nodes and "reward_model" not in tree.header.task:
            raise ConfigError(f"answer='reward': the tree of {tree.problem!r} was grown without a reward model.")
        number = chosen(tree.nodes, rules, how)
        return None if number is None else tree.nodes[number - 1]
    if problem is None or sandbox is None:
        raise ConfigError("answer='agreement' runs programs: give the problem (public_view()) and a sandbox.")
    checks.instance("problem", problem, PublicView, "what may be seen of it, its public_view()", where="answer")
    checks.instance("sandbox", sandbox, RunsPrograms, "a sandbox, such as mars2_env.make_sandbox()", where="answer")
    inputs = checks.whole_number("inputs", inputs, where="answer")
    seed = checks.whole_number("seed", seed, least=0, where="answer")
    written = [node for node in tree.nodes if node.program is not None]
    public = [rules.score_of(node.verdict, "public") for node in written]
    first: dict[int, int] = {}  # number of a program among the best (its first node's) -> place of its first node
    program = [node.id if node.duplicate_of is None else node.duplicate_of for node in written]
    best = max(public, default=0.0)
    for place, number in enumerate(program):
        if public[place] == best:
            first.setdefault(number, place)
    voters = list(first.values())
    groups: list[int | None] = [None] * len(written)
    if len(voters) > 1 and (further := varied_inputs(problem, inputs, seed)):
        runs = [runs_on(sandbox, problem, written[place].program or "", further) for place in voters]
        strict = bool(tree.header.task["strict_types"])
        for place, group in zip(
            voters, alike(runs, text=isinstance(problem.interface, Stdin), strict=strict), strict=True
        ):
            groups[place] = group
    for place, number in enumerate(program):
        if number in first:
            groups[place] = groups[first[number]]
    copies = [first.get(number) != place for place, number in enumerate(program)]
    chosen_place = agreement_answer(public, groups, copies)
    return None if chosen_place is None else written[chosen_place]


def runs_on(sandbox: Sandbox, problem: PublicView, program: str, inputs: Sequence[Any]) -> list[Run]:
    """Return what a program does on each input; once it hits the time limit it is taken to do so on all that follow."""
    stream = sandbox.stream(program, inputs, interface=problem.interface, limits=problem.limits)
    runs: list[Run] = []
    try:
        for run in stream:
            runs.append(run)
            if run.status == "time_limit":
                break
    finally:
        if isinstance(stream, Closes):  # a generator can be closed, a plain iterator need not
            stream.close()
    if len(runs) < len(inputs) and (not runs or runs[-1].status != "time_limit"):
        raise SandboxError(f"the sandbox returned {len(runs)} runs for {len(inputs)} inputs; this is its own fault.")
    return runs + [runs[-1]] * (len(inputs) - len(runs))


def alike(runs: Sequence[Sequence[Run]], *, text: bool, strict: bool = False) -> list[int | None]:
    """Return the group of each program, numbered from 0: those that do the same on every input, as the judge compares.

    Args:
        runs: what each program did, one run an input.
        text: whether outputs are texts (`Stdin`) or values.
        strict: whether values are compared in the exact form.

    Returns:
        One number a program; None for one that produced nothing on any input: it says nothing to agree with.
    """

    def same(one: Run, other: Run) -> bool:
        if one.status != other.status or one.status != "ok":
            return one.status == other.status
        return _same(one.output, other.output, text, strict)

    first: list[int] = []
    groups: list[int | None] = []
    for program, outputs in enumerate(runs):
        if all(run.status != "ok" for run in outputs):
            groups.append(None)
            continue
        for group, other in enumerate(first):
            if all(same(one, two) for one, two in zip(outputs, runs[other], strict=True)):
                groups.append(group)
                break
        else:
            groups.append(len(first))
            first.append(program)
    return groups


def _same(one: Any, other: Any, text: bool, strict: bool) -> bool:
    if text:
        return isinstance(one, str) and isinstance(other, str) and same_output(one, other)
    return equal(one, other, strict=strict)
