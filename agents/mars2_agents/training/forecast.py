"""What a training would take, before any model is loaded: tokens, memory, and time by counting operations.

Replies are taken to be as long as they may be, and prompts as long as those of the first problems with such a reply in
them, which a refinement quotes: both are bounds. Operations: 2 N a token forwards and 4 N backwards (Kaplan et al.,
arXiv 2001.08361), of which an adapter needs 2 N, since frozen weights have no gradient; checkpointing makes 2 N more;
attention besides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mars2_agents.policies.smollm2 import NAME as SMOLLM2
from mars2_agents.policies.smollm2 import cache_folder, is_done
from mars2_agents.training.config import Training
from mars2_agents.training.evaluating import HeldOut
from mars2_agents.training.memory import (
    GIB,
    SHAPES,
    Demand,
    Part,
    Shape,
    lora_parameters,
    parts,
    peak,
    shape_of,
)
from mars2_agents.training.tables import PolicyTable
from mars2_env.base.spec import plain
from mars2_env.errors import ConfigError
from mars2_env.log import fresh_turn
from mars2_env.search.budget import MAX_NODES
from mars2_env.tasks import Task

MAX_NEW_TOKENS: Final = 384
"""What policies write at most where nothing is said."""

CHARACTERS: Final = 3.5
"""Characters of a token of English with programs, where there is no tokenizer to count with."""

HELD: Final = HeldOut(())
"""What holds of evaluations where nothing is said."""

ASKED: Final = 16
"""How many problems' prompts are looked at."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a machine is, in floating-point operations a second.

    Attributes:
        passes: of passes over many tokens at a time: prompts, scoring, updates.
        writing: of writing replies, where each token of a batch waits for the one before it.
    """

    passes: float
    writing: float

    def seconds(self, operations: Operations) -> float:
        """Return how long operations take."""
        return operations.passes / self.passes + operations.writing / self.writing


@dataclass(frozen=True, slots=True)
class Operations:
    """Floating-point operations, by how fast a machine makes them (`Rates`)."""

    passes: float = 0.0
    writing: float = 0.0


@dataclass(frozen=True, slots=True)
class PolicyForecast:
    """What a policy would take.

    Attributes:
        name: of the policy.
        shape: of its model.
        demand: what memory is reckoned from.
        replies: how many it writes a step, about: agents take turns.
        prompt: tokens of a prompt, about.
        reply: tokens of a reply, at most.
        updates: how many it makes a step, about.
        operations: of a step, by phase: those of passes over many tokens, and those of writing.
        evaluation: the same of an evaluation.
    """

    name: str
    shape: Shape
    demand: Demand
    replies: float
    prompt: int
    reply: int
    updates: float
    operations: Mapping[str, Operations]
    evaluation: Operations

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its memory, part by part."""
        return parts(self.demand)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a training would take.

    Attributes:
        training: the training.
        policies: of each policy that learns; what fixed partners take is not reckoned.
        trees: of a step.
        nodes: of a tree, at most.
    """

    training: Training
    policies: tuple[PolicyForecast, ...]
    trees: int
    nodes: int

    @property
    def peak(self) -> int:
        """The most bytes at a time; with learners on GPUs, of one of them."""
        return peak([one.parts for one in self.policies])

    def seconds(self, rates: Rates) -> dict[str, float]:
        """Return the seconds of a step by phase."""
        found: dict[str, float] = {}
        for policy in self.policies:
            for phase, operations in policy.operations.items():
                found[phase] = found.get(phase, 0.0) + rates.seconds(operations)
        return found

    def evaluation(self, rates: Rates) -> float:
        """Return the seconds of an evaluation."""
        return sum(rates.seconds(policy.evaluation) for policy in self.policies)

    def total(self, rates: Rates) -> float:
        """Return the seconds of the whole training."""
        steps, held = self.training.settings.steps, self.training.held
        every = HELD.every if held is None or held.every is None else held.every
        evaluations = 0 if held is None else 1 + math.ceil(steps / every)
        return steps * sum(self.seconds(rates).values()) + evaluations * self.evaluation(rates)

    def to_dict(self, rates: Rates) -> dict[str, Any]:
        """Return it as the keys of `--dry-run --json`."""
        return {
            "trees": self.trees,
            "nodes": self.nodes,
            "policies": {one.name: _told(one) for one in self.policies},
            "peak_bytes": self.peak,
            "seconds": self.seconds(rates),
            "evaluation_seconds": self.evaluation(rates),
            "total_seconds": self.total(rates),
        }

    def text(self, rates: Rates) -> str:
        """Return it in lines."""
        lines = [f"{self.trees} trees of at most {self.nodes} nodes a step, {self.training.settings.steps} steps"]
        for one in self.policies:
            lines += _lines(one)
            if one.demand.sampler_dtype is None:
                lines.append("  its sampler is another program, which has memory of its own")
        lines += [
            f"{name}: it does not learn, and what it takes is not reckoned"
            for name, table in self.training.policies.items()
            if table.fixed
        ]
        lines.append(f"memory: at most {_gib(self.peak)} at a time")
        seconds = self.seconds(rates)
        lines.append(f"a step: about {', '.join(f'{name} {_span(value)}' for name, value in seconds.items())}")
        if self.training.held is not None:
            lines.append(f"an evaluation: about {_span(self.evaluation(rates))}")
        lines.append(f"all of it: about {_span(self.total(rates))}, sandbox not counted")
        return "\n".join(lines)


def forecast(training: Training, *, gpus: int = 1) -> Forecast:
    """Return what a training would take; nothing large is loaded.

    Args:
        training: the training.
        gpus: over how many each learner is sharded.

    Raises:
        ConfigError: the shape of a model is not known here, or the task makes no sense.
    """
    task, settings = training.task(), training.settings
    nodes = min(task.budget.nodes, MAX_NODES)
    if nodes == MAX_NODES:
        raise ConfigError(
            f"{training.file}: task.budget says nothing of nodes, so that nobody knows how many there are."
        )
    held = training.held
    evaluated = 0
    if held is not None:
        found = training.held_out(task)
        given = found.problems if found is not None else ()
        count = len(task.on_split(given).problems) if isinstance(given, str) else len(given)
        evaluated = min(count, held.limit or count) * (held.nodes or 16)
    policies = []
    bases: set[tuple[str, str, str]] = set()
    for name, table in training.trained.items():
        share = sum(own == name for own in training.team.values()) / len(training.team)
        policies.append(
            _of_policy(training, task, name, table, share * settings.problems * nodes, share * evaluated, gpus, bases)
        )
    return Forecast(training, tuple(policies), settings.problems, nodes)


def _of_policy(
    training: Training,
    task: Task,
    name: str,
    table: PolicyTable,
    replies: float,
    evaluated: float,
    gpus: int,
    bases: set[tuple[str, str, str]],
) -> PolicyForecast:
    """Return what a policy would take; `bases` are those that samplers of adapters share, and get this one's."""
    shape = shape_of_checkpoint(table.checkpoint)
    reply = _whole(table.sampled.get("max_new_tokens"), MAX_NEW_TOKENS)
    limit = _whole(table.sampled.get("context"), 0)
    fresh = prompt_tokens(task, table.checkpoint, [agent for agent, own in training.team.items() if own == name])
    prompt = fresh + reply  # a refinement quotes the program that it refines
    if limit:
        prompt = min(prompt, max(limit - reply, min(fresh, limit // 2)))
        reply = min(reply, limit - prompt)
    optimising, settings = training.optimising[name], training.settings
    batch = table.batch or settings.batch
    longest = prompt + reply
    turns = settings.turns or (settings.trees or settings.problems) * settings.in_flight
    half = "bfloat16" if _on_gpu(table) else "float32"
    base = (table.checkpoint, table.dtype, table.device)
    shared = table.in_process and table.train == "lora" and base in bases
    if table.in_process and table.train == "lora":
        bases.add(base)
    demand = Demand(
        shape,
        train=table.train,
        dtype=("float32" if table.train == "full" else half) if table.dtype == "auto" else table.dtype,
        precision=optimising.precision,
        rank=table.rank,
        reference=table.reference,
        checkpointing=optimising.checkpointing,
        row=max(longest, min(optimising.tokens, batch * longest)),
        packed=optimising.tokens >= 2 * fresh,
        sampler_dtype=half if table.in_process else None,
        own_sampler=not shared,
        sequences=min(turns, _whole(table.sampled.get("batch_size"), 16)),
        context=longest,
        gpus=gpus,
    )
    updates = replies / batch
    reference = training.algorithm.options.get("kl") is not None
    return PolicyForecast(
        name,
        shape,
        demand,
        replies,
        prompt,
        reply,
        updates,
        _operations(demand, replies, prompt, reply, reference=reference),
        _of_replies(shape, evaluated, prompt, reply),
    )


def _of_replies(shape: Shape, replies: float, prompt: int, reply: int) -> Operations:
    """Return the operations of writing replies: passes over prompts, then token by token."""
    tokens = prompt + reply
    token = 2 * weights_used(shape) + 4 * shape.layers * shape.queries * tokens
    return Operations(replies * prompt * forward_operations(shape, prompt), replies * reply * token)


def _operations(demand: Demand, replies: float, prompt: int, reply: int, *, reference: bool) -> dict[str, Operations]:
    """Return the operations of a step by phase.

    Args:
        demand: the policy's.
        replies: that it writes a step.
        prompt: tokens.
        reply: tokens.
        reference: whether the reference is scored too.
    """
    tokens = replies * (prompt + reply)
    forward = forward_operations(demand.shape, prompt + reply)
    passes = 1 + (2 if demand.train == "full" else 1) + (1 if demand.checkpointing else 0)
    return {
        "growing": _of_replies(demand.shape, replies, prompt, reply),
        "scoring": Operations(tokens * forward * (2 if reference else 1)),
        "updating": Operations(tokens * forward * passes),
    }


def weights_used(shape: Shape) -> int:
    """Return the parameters that a token is multiplied with: all but the embedding, which is looked up."""
    return shape.parameters - (0 if shape.tied else shape.vocab * shape.hidden)


def forward_operations(shape: Shape, tokens: int) -> float:
    """Return the operations of a token in a forward pass: 2 N, and 2 L H T for attention to T / 2 tokens before it.

    Source: Kaplan et al. (arXiv 2001.08361), table 1.
    """
    return 2.0 * weights_used(shape) + 2.0 * shape.layers * shape.queries * tokens


def shape_of_checkpoint(checkpoint: str) -> Shape:
    """Return the shape of a checkpoint, from its `config.json` or the table of known ones.

    Raises:
        ConfigError: it is neither here nor in the table.
    """
    folder = folder_of_checkpoint(checkpoint)
    if folder is not None:
        from transformers import AutoConfig

        try:
            return shape_of(AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder}: the configuration cannot be read: {error!s:.200}") from None
    wanted = SMOLLM2.removesuffix("-Instruct") if checkpoint == "smollm2" else checkpoint.rpartition("/")[2]
    found = [name for name in SHAPES if wanted.lower().startswith(name.lower())]
    if not found:
        raise ConfigError(
            f"hf:{checkpoint}: it is not on this machine, and its shape is not known; give the folder of a checkpoint "
            f"(config.json is enough), or one of {', '.join(SHAPES)}."
        )
    return SHAPES[max(found, key=len)]


def folder_of_checkpoint(checkpoint: str) -> Path | None:
    """Return the folder of a checkpoint on this machine; None where there is none. Nothing is fetched."""
    folder = cache_folder() / SMOLLM2 if checkpoint == "smollm2" else Path(checkpoint).expanduser()
    there = is_done(folder) if checkpoint == "smollm2" else (folder / "config.json").is_file()
    return folder if there else None


def prompt_tokens(task: Task, checkpoint: str, agents: Sequence[str]) -> int:
    """Return the mean number of tokens in which agents are asked for fresh programs of the first problems.

    They are counted by the checkpoint's tokenizer if it is here, else taken from the number of characters.
    """
    count = _counter(checkpoint)
    lengths = []
    for problem in list(task.problems)[:ASKED]:
        if problem.seed_program is not None:  # what is asked there depends on what that program fails on
            continue
        header = task.header(problem.id, 0, sandbox="")
        for agent in agents:
            turn = fresh_turn(header, agent, problem.public_view(), task.prompts)
            lengths.append(count("".join(message["content"] for message in turn.messages)))
    return round(sum(lengths) / len(lengths)) if lengths else 0


def _counter(checkpoint: str) -> Callable[[str], int]:
    folder = folder_of_checkpoint(checkpoint)
    if folder is None or not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return lambda text: math.ceil(len(text) / CHARACTERS)
    from mars2_agents.policies.engine import read_tokenizer

    tokenizer = read_tokenizer(f"hf:{checkpoint}", folder)
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def measured(found: Forecast, *, clock: Callable[[], float] = time.perf_counter) -> Rates:
    """Return how fast this machine multiplies matrices of the first policy's shape, in a second or so.

    A whole model is slower than its products alone, by a factor of about one and a half on a CPU.
    """
    import torch

    policy = found.policies[0]
    shape, kind = policy.shape, torch.bfloat16 if torch.cuda.is_available() else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = [torch.randn(shape.hidden, shape.intermediate, dtype=kind, device=device) for _ in range(4)]

    def rate(tokens: int) -> float:
        inputs = torch.randn(tokens, shape.hidden, dtype=kind, device=device)
        operations, begun, spent = 0.0, clock(), 0.0
        with torch.no_grad():
            while spent < 0.3:
                for weight in weights:
                    _ = inputs @ weight
                if device == "cuda":
                    torch.cuda.synchronize()
                operations += 2.0 * tokens * shape.hidden * shape.intermediate * len(weights)
                spent = clock() - begun
        return operations / spent

    return Rates(rate(512), rate(policy.demand.sequences))


def _on_gpu(table: PolicyTable) -> bool:
    if table.device != "auto":
        return table.device != "cpu"
    import torch

    return bool(torch.cuda.is_available())


def _whole(value: Any, default: int) -> int:
    number = plain(value)
    return number if isinstance(number, int) else default


def _told(one: PolicyForecast) -> dict[str, Any]:
    return {
        "parameters": one.shape.parameters,
        "trained": one.shape.parameters if one.demand.train == "full" else lora_parameters(one.shape, one.demand.rank),
        "replies": one.replies,
        "prompt_tokens": one.prompt,
        "reply_tokens": one.reply,
        "updates": one.updates,
        "memory": [{"name": part.name, "bytes": part.bytes, "when": part.when} for part in one.parts],
    }


def _lines(one: PolicyForecast) -> list[str]:
    told = _told(one)
    tokens = one.replies * (one.prompt + one.reply)
    lines = [
        f"policy {one.name}: {_millions(told['parameters'])} parameters, {_millions(told['trained'])} trained",
        f"  a step: about {one.replies:.0f} replies of at most {one.reply} tokens to prompts of about {one.prompt}, "
        f"{tokens:,.0f} tokens, {one.updates:.1f} updates",
    ]
    return lines + [f"  {part.name:<26}{_gib(part.bytes):>10}  {WHEN[part.when]}" for part in one.parts]


WHEN: Final = {"always": "", "update": "in updates", "rollout": "in rollouts", "sync": "as new weights come"}


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count:,}"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _span(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
