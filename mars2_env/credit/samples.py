"""What learners are given: every token that a model wrote in a finished tree, with its credit.

A reply that took several calls of a model is one sample where each call goes on where the one before it ended: what
stands between them, such as what a tool answered, is part of the sequence and masked. Else each call is a sample of its
own, and all of them have the credit of their node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from mars2_env.base.checks import instance, one_of, real_number
from mars2_env.credit.advantages import ESTIMATORS, SCOPES, Estimator, Scope, advantages, scope_groups
from mars2_env.credit.arrays import Bools, Floats
from mars2_env.credit.named import SHAPING, NodeCredit, check_credit, node_credit, with_memory
from mars2_env.credit.shaping import overlong_penalty, tree_shaping
from mars2_env.episode.events import Told
from mars2_env.errors import ConfigError
from mars2_env.log import Trace, Tree, read_trace, trace_path
from mars2_env.types import Generation, LogprobsKind

Duplicates: TypeAlias = Literal["mask", "keep"]
DUPLICATES: Final[tuple[Duplicates, ...]] = get_args(Duplicates)

UNTOLD: Final = "no tokens recorded"
DAMAGED: Final = "its line of the trace is damaged or missing"
"""Why a node gives no sample; a trace that was begun has a line of every node."""


@dataclass(frozen=True, slots=True)
class Credit:
    """How rewards become advantages: shaped, penalised for length, normalised, cut.

    Attributes:
        credit: what a node is worth before it is normalised: `shaping`, the paper's (`tree_shaping`); another by name,
            such as `node_difference` or `pkpo,k=4` (`mars2_env.credit.CREDITS`); or a function of a finished tree that
            returns one number a node. `rae` becomes a `RunningBaselines`, whose means go on from tree to tree.
        gamma: of `tree_shaping`; 0 shapes nothing.
        mix: of `tree_shaping`, the papers' lambda.
        scope: what is normalised together (`scope_groups`).
        estimator: how (`advantages`); `none` where what a node is worth is its advantage already.
        clip: the largest size of an advantage; None for no limit.
        duplicates: `mask` leaves programs that the tree had already out of means and losses; `keep` counts them.
        max_length: the most completion tokens of a reply, for `overlong_penalty`; None for no penalty.
        buffer: within how many last tokens the penalty grows.
        factor: the penalty of the longest reply.
    """

    gamma: float = 0.5
    mix: float = 0.5
    scope: Scope = "tree"
    estimator: Estimator = "group_norm"
    clip: float | None = 10.0
    duplicates: Duplicates = "mask"
    max_length: int | None = None
    buffer: int = 2048
    factor: float = 1.0
    credit: str | NodeCredit = SHAPING

    def __post_init__(self) -> None:
        check_credit(self.credit)
        object.__setattr__(self, "credit", with_memory(self.credit))
        real_number("gamma", self.gamma, least=0, where="Credit")
        real_number("mix", self.mix, least=0, most=1, where="Credit")
        one_of("scope", self.scope, SCOPES, where="Credit")
        one_of("estimator", self.estimator, ESTIMATORS, where="Credit")
        one_of("duplicates", self.duplicates, DUPLICATES, where="Credit")
        real_number("factor", self.factor, least=0, where="Credit")
        if self.max_length is not None:  # so that a slip is known before any tree is grown
            overlong_penalty([], max_length=self.max_length, buffer=self.buffer, factor=self.factor)


@dataclass(frozen=True, slots=True)
class Sample:
    """One sequence of tokens of which some are trained.

    Attributes:
        tree: the tree, as `problem#seed`.
        node: its number in the tree.
        parent: that of its parent, 0 for the root.
        depth: 1 for a fresh program.
        agent: who wrote it.
        policy: what acts for that agent.
        prompt_ids: the tokens before the first that was written.
        completion_ids: the tokens from there on, those of tools among them.
        mask: which completion tokens the model wrote, and are trained.
        logprobs: the sampler's log-probability of each completion token; nan where there is none.
        logprobs_kind: of which distribution they are; None where that is not known.
        temperature: that of sampling; None where that is not known.
        top_p: the probability that was kept; None where that is not known.
        kept_mass: the probability of what was kept, at each completion token; () where it was not recorded.
        versions: the version of the weights at each completion token.
        reward: the raw reward of the node.
        shaped: after shaping and the penalty on length.
        advantage: after normalisation.
        duplicate: whether the program was in the tree already; then it takes no loss, unless duplicates are kept.
        imitated: whether it is learnt as it stands, by its likelihood alone, such as a solution that others found.
    """

    tree: str
    node: int
    parent: int
    depth: int
    agent: str
    policy: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    mask: tuple[bool, ...]
    logprobs: tuple[float, ...]
    logprobs_kind: LogprobsKind | None
    temperature: float | None
    top_p: float | None
    kept_mass: tuple[float, ...]
    versions: tuple[int, ...]
    reward: float
    shaped: float
    advantage: float
    duplicate: bool
    imitated: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples, and what became of the nodes that gave none.

    Attributes:
        samples: in order of tree, node, and call.
        left_out: reason -> number of nodes.
    """

    samples: tuple[Sample, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)


def credited(tree: Tree, credit: Credit, lengths: Sequence[int]) -> tuple[Floats, Bools]:
    """Return what a tree's nodes are worth, the penalty on their lengths in it, and which nodes count.

    Args:
        tree: the tree.
        credit: how.
        lengths: the completion tokens of each node.
    """
    counts = np.array([credit.duplicates == "keep" or node.duplicate_of is None for node in tree.nodes], dtype=bool)
    if credit.credit == SHAPING:
        shaped = tree_shaping(
            [node.parent for node in tree.nodes],
            [node.score for node in tree.nodes],
            gamma=credit.gamma,
            mix=credit.mix,
            mask=counts,
            root_reward=None if tree.root is None else tree.root.score,
        )
    else:
        shaped = node_credit(credit.credit, tree, counts)
    if credit.max_length is not None:
        shaped = shaped + overlong_penalty(
            lengths, max_length=credit.max_length, buffer=credit.buffer, factor=credit.factor
        )
    return shaped, counts


def advantages_of(
    trees: Sequence[Tree], credit: Credit, lengths: Sequence[Sequence[int]] | None = None
) -> tuple[list[Floats], list[Floats]]:
    """Return, tree by tree, what the nodes are worth and their advantages; what is normalised may span all trees.

    Args:
        trees: the trees.
        credit: how.
        lengths: of each tree the completion tokens of each node, for the penalty on them; 0 by default.
    """
    known = [[0] * len(tree.nodes) for tree in trees] if lengths is None else lengths
    found = [credited(tree, credit, each) for tree, each in zip(trees, known, strict=True)]
    nodes = [(number, node) for number, tree in enumerate(trees) for node in tree.nodes]
    groups = scope_groups(
        credit.scope,
        [number for number, _ in nodes],
        [node.agent for _, node in nodes],
        [node.parent == 0 for _, node in nodes],
        problems=[trees[number].problem for number, _ in nodes],
    )
    gained = advantages(
        np.concatenate([shaped for shaped, _ in found]) if found else np.zeros(0),
        groups,
        estimator=credit.estimator,
        mask=np.concatenate([counts for _, counts in found]) if found else np.zeros(0, bool),
        clip=credit.clip,
    )
    ends = np.cumsum([len(tree.nodes) for tree in trees])[:-1]
    return [shaped for shaped, _ in found], np.split(gained, ends) if found else []


def samples(
    trees: Iterable[Tree],
    *,
    policies: Mapping[str, str] | None = None,
    credit: Credit | None = None,
    traces: Sequence[Mapping[int, Trace]] | None = None,
) -> Samples:
    """Return every trained token of finished trees, with its credit.

    Args:
        trees: the trees, such as `read_log` returns; what is normalised together may span all of them.
        policies: agent -> the policy that acts for it; each agent's own name by default.
        credit: how rewards become advantages; `Credit()` by default, the paper's.
        traces: of each tree its trace by turn; read from the file beside its log by default.

    Raises:
        ConfigError: a tree was not logged and has no trace, or an agent has no policy.
        LogError: a trace cannot be read.
    """
    instance("credit", credit, Credit | None, "a Credit, such as Credit(credit='c3')", where="samples")
    given, how = list(trees), credit or Credit()
    if strange := next((one for one in given if not isinstance(one, Tree)), None):
        raise ConfigError(f"samples: {strange!r:.200} is no tree; give what `read_log` returns.")
    found: list[Sample] = []
    left: Counter[str] = Counter()
    told = [trace_of(tree, None if traces is None else traces[number]) for number, tree in enumerate(given)]
    calls = [[generations(trace.get(node.id)) for node in tree.nodes] for tree, trace in zip(given, told, strict=True)]
    lengths = [[tokens_written(reply) for reply in replies] for replies in calls]
    shaped, gained = advantages_of(given, how, lengths)
    for number, tree in enumerate(given):
        begun = bool(told[number]) or (traces is None and tree.path is not None and trace_path(tree.path).exists())
        for place, node in enumerate(tree.nodes):
            sequences = joined(calls[number][place])
            if not sequences:
                left[DAMAGED if begun and node.id not in told[number] else UNTOLD] += 1
            for sequence in sequences:
                found.append(
                    Sample(
                        tree=f"{tree.problem}#{tree.seed}",
                        node=node.id,
                        parent=node.parent,
                        depth=node.depth,
                        agent=node.agent,
                        policy=_policy_of(node.agent, policies),
                        prompt_ids=sequence.prompt,
                        completion_ids=tuple(sequence.ids),
                        mask=tuple(sequence.written),
                        logprobs=tuple(sequence.logprobs),
                        logprobs_kind=sequence.first.logprobs_kind,
                        temperature=sequence.first.temperature,
                        top_p=sequence.first.top_p,
                        kept_mass=tuple(sequence.kept) if any(mass == mass for mass in sequence.kept) else (),
                        versions=tuple(sequence.versions),
                        reward=node.score,
                        shaped=float(shaped[number][place]),
                        advantage=float(gained[number][place]),
                        duplicate=node.duplicate_of is not None,
                    )
                )
    return Samples(tuple(found), dict(left))


def tokens_written(reply: Iterable[Generation]) -> int:
    """Return how many tokens a model wrote in the calls of a reply, as far as they tell."""
    return sum(one.tokens[1] for one in reply if one.tokens)


class _Sequence:
    """Calls of a model in a row, as one sequence of tokens."""

    def __init__(self, first: Generation) -> None:
        self.first = first
        self.prompt = first.prompt_ids
        self.ids: list[int] = []
        self.written: list[bool] = []
        self.logprobs: list[float] = []
        self.kept: list[float] = []
        self.versions: list[int] = []
        self.take(first)

    def goes_on(self, call: Generation) -> bool:
        """Whether a call was asked with all of this sequence, and was sampled like it."""
        whole = (*self.prompt, *self.ids)
        alike = all(
            getattr(call, name) == getattr(self.first, name)
            for name in ("logprobs_kind", "temperature", "top_p", "top_k")
        )
        return alike and len(call.prompt_ids) >= len(whole) and call.prompt_ids[: len(whole)] == whole

    def take(self, call: Generation) -> None:
        """Add what a call was told besides, masked, and what it wrote."""
        told = call.prompt_ids[len(self.prompt) + len(self.ids) :]
        wrote = call.completion_ids
        self.ids += [*told, *wrote]
        self.written += [False] * len(told) + [True] * len(wrote)
        self.logprobs += [nan] * len(told) + list(call.logprobs or [nan] * len(wrote))
        self.kept += [nan] * len(told) + list(call.kept_mass or [nan] * len(wrote))
        self.versions += [call.weights_version] * len(told) + versions_of(call)


def joined(calls: Sequence[Generation]) -> list[_Sequence]:
    """Return calls of a model as sequences: those that go on where the one before them ended as one."""
    found: list[_Sequence] = []
    for call in calls:
        if not call.completion_ids:
            continue
        if found and found[-1].goes_on(call):
            found[-1].take(call)
        else:
            found.append(_Sequence(call))
    return found


def versions_of(call: Generation) -> list[int]:
    """Return the version of the weights that wrote each completion token."""
    spans = call.weights_spans or ((call.weights_version, 0),)
    ends = [first for _, first in spans[1:]] + [len(call.completion_ids)]
    return [
        version
        for (version, first), end in zip(spans, ends, strict=True)
        for _ in range(first, min(end, len(call.completion_ids)))
    ]


def generations(trace: Trace | None) -> tuple[Generation, ...]:
    """Return what models wrote in a turn, in order."""
    if trace is None:
        return ()
    if trace.generation is not None:
        return (trace.generation,)
    return tuple(step.generation for step in trace.steps if step.generation is not None)


def trace_of(tree: Tree, given: Mapping[int, Trace] | None) -> dict[int, Trace]:
    """Return the trace of each node of a tree."""
    if given is None and tree.path is None:
        raise ConfigError(
            f"samples: the tree of {tree.problem!r} was not logged, so its tokens are gone: use rollout(..., out=...), "
            "or give its trace."
        )
    by_turn = given if given is not None else read_trace(tree.path) if tree.path is not None else {}
    turns = {event.node: event.turn for event in tree.events if isinstance(event, Told) and event.node is not None}
    return {node: by_turn[turn] for node, turn in turns.items() if turn in by_turn}


def _policy_of(agent: str, policies: Mapping[str, str] | None) -> str:
    if policies is None:
        return agent
    if agent not in policies:
        raise ConfigError(f"samples: agent {agent!r} has no policy; policies are given for {list(policies)!r:.200}.")
    return policies[agent]
