"""A real language model trained in a tree: SmolLM2-135M with LoRA on starter problems, sampled by vLLM on a CPU.

    MARS2_VLLM_PYTHON=.vllm/bin/python python -m mars2_bench.training_real --out runs/real    # an hour on two cores
    python -m mars2_bench.training_real --out runs/quick --quick                              # to see that it works

Each update: one agent grows two trees of eight programs on two problems that it has not met yet (RS2: shaping within
the tree, group advantages; reward: the share of scoring tests that pass), the learner makes one step (GSPO with a
penalty for leaving the reference), and the sampler gets the new adapter while it stands. Printed as Markdown: the curve
of updates, what held-out problems say before, between and after (hidden tests), and how far the sampler's log-probs are
from the learner's after each sync. Whatever that shows: a model this small hardly ever solves a problem.

The same command goes on where it was ended, inside trees too. `--sampler transformers` needs no vLLM.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from math import log, nan, sqrt
from pathlib import Path
from random import Random
from statistics import mean, variance
from typing import Any, Final

from mars2_agents import ServerOptions, TransformersPolicy, VLLMPolicy, VLLMServer
from mars2_agents.algorithms.lesson import Crew
from mars2_agents.algorithms.rs2 import rs2
from mars2_agents.learners.adapting import lora
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.learners.updating import Report, update
from mars2_agents.policies.engine import Engine, read_model, read_tokenizer
from mars2_agents.policies.smollm2 import checkpoint, without_bars
from mars2_agents.training.weights import deliver

import mars2_env
from mars2_bench.command import run as run_command
from mars2_env.credit import Sample
from mars2_env.errors import ConfigError
from mars2_env.log import Tree
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.types import Policy

AGENT: Final = "coder"
STUDENT: Final = "student"
NODES: Final = 8
TREES: Final = 2
CONTEXT: Final = 1024


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run; a folder goes on with the plan that it was begun with."""

    updates: int = 30
    tokens: int = 128
    lr: float = 3e-4
    rank: int = 16
    kl: float = 1e-3
    temperature: float = 1.0
    held_out: int = 20
    every: int = 10
    seed: int = 0
    sampler: str = "vllm"


@dataclass(frozen=True, slots=True)
class Row:
    """A batch and its update, as they came out.

    Attributes:
        batch: its number, from 1.
        version: of the weights afterwards; the same as before where no token had an advantage.
        reward: the mean share of scoring tests that its programs passed.
        passed: the share of programs that passed them all.
        fresh: the mean reward of fresh programs.
        refined: the mean reward of refinements; None where there is none.
        distinct: the share of programs that their tree had not yet.
        samples: how many had a part in the loss.
        length: the mean tokens of these.
        cut: the share of these that were ended by the limit on tokens.
        kl: the mean k3 of the policy to the base model, before the update.
        entropy: the mean of -logp of what was sampled, in nats a token.
        apart: the largest difference between a token's log-prob as the sampler told it and as the learner scores it.
        lag: the mean age of the weights that sampled, in updates.
        grad_norm: before it was cut.
        sampling: seconds, judging included.
        learning: seconds, export and delivery included.
    """

    batch: int
    version: int
    reward: float
    passed: float
    fresh: float | None
    refined: float | None
    distinct: float
    samples: int
    length: float
    cut: float
    kl: float | None
    entropy: float | None
    apart: float | None
    lag: float | None
    grad_norm: float
    sampling: float = 0.0
    learning: float = 0.0


@dataclass(frozen=True, slots=True)
class Exam:
    """Held-out problems, one fresh program each.

    Attributes:
        batches: how many had been learnt.
        problems: how many were asked.
        passed: the share of programs that pass all hidden tests.
        reward: the mean share of scoring tests that they pass.
    """

    batches: int
    problems: int
    passed: float
    reward: float


def easy(split: str, seed: int) -> ProblemSet:
    """Return the easy starter problems of a split, shuffled."""
    found = list(load_problems("starter", split=split, band="easy"))
    Random(seed).shuffle(found)
    return ProblemSet(f"starter-easy-{split}", tuple(found), split=split)


def task(problems: ProblemSet, *, budget: int, limit: int) -> mars2_env.Task:
    """Return what is played: one agent that writes, refines what failed, and is scored by the share of tests."""
    return mars2_env.task(
        problems,
        agents=[AGENT],
        budget=budget,
        score="fraction",
        score_on="scoring",
        prompts=f"chat,max_tokens={CONTEXT - limit}",
    )


@contextmanager
def sampling(plan: Plan) -> Iterator[Policy]:
    """Run what samples; it acts with the base model until an adapter is delivered."""
    place = checkpoint()
    how: dict[str, Any] = {"temperature": plan.temperature, "top_p": 1.0, "max_new_tokens": plan.tokens}
    if plan.sampler == "transformers":
        engine = Engine(read_model("smollm2", place, dtype=_float32()), read_tokenizer("smollm2", place))
        yield TransformersPolicy(engine, context=CONTEXT, **how)
        return
    options = ServerOptions(
        str(place), kind="cpu", max_model_len=CONTEXT, max_num_seqs=NODES, max_loras=2, max_lora_rank=plan.rank
    )
    with VLLMServer(options) as server:
        policy = VLLMPolicy(server, **how)
        yield policy
        policy.close()


def learner_of(plan: Plan) -> Learner:
    """Return the learner, as new."""
    with without_bars():
        model = lora(read_model("smollm2", checkpoint(), dtype=_float32()), plan.rank, alpha=2 * plan.rank)
    return Learner(model, Optimising(lr=plan.lr, warmup=2, tokens=2048))


def _float32() -> Any:
    import torch

    return torch.float32


class Run:
    """A run in its folder: `trees`, `weights`, `rows` and `exams` in JSON, and `learner`, which ends a batch."""

    def __init__(self, out: Path, plan: Plan, policy: Policy) -> None:
        self.out, self.plan, self.policy = out, plan, policy
        self.learner = learner_of(plan)
        if (out / "learner").exists():
            self.learner.load(out / "learner")
        self.algorithm = rs2(surrogate="gspo", kl=("k3", plan.kl))
        self.train, self.test = easy("train", plan.seed), easy("test", plan.seed)
        need = plan.updates * TREES
        if need > len(self.train):
            raise ConfigError(f"{plan.updates} batches need {need} problems; there are {len(self.train)} easy ones.")

    @property
    def rows(self) -> list[Row]:
        """The batches that were learnt; a row beyond the learner is of a batch that is learnt again."""
        found = [Row(**read(file)) for file in sorted((self.out / "rows").glob("*.json"))]
        return [row for row in found if row.version <= self.learner.version]

    @property
    def exams(self) -> list[Exam]:
        """What held-out problems said, in order."""
        return [Exam(**read(file)) for file in sorted((self.out / "exams").glob("*.json"))]

    def go_on(self) -> None:
        """Learn the batches that are missing."""
        self._deliver()
        self._examine(len(self.rows))
        while (number := len(self.rows) + 1) <= self.plan.updates:
            began = time.perf_counter()
            trees = self._grow(number)
            grown = time.perf_counter()
            lesson = self.algorithm(trees, Crew({f"{AGENT}_0": STUDENT}))[STUDENT]
            report = update(self.learner, lesson.samples, lesson.loss, reference=lesson.reference)
            self._deliver()
            row = row_of(number, trees, lesson.samples, report, self.plan.tokens)
            row = replace(row, sampling=grown - began, learning=time.perf_counter() - grown)
            write(self.out / "rows" / f"{number:03}.json", asdict(row))
            self.learner.save(self.out / "learner")
            print(table([row]).splitlines()[-1], file=sys.stderr, flush=True)
            self._examine(number)

    def _grow(self, number: int) -> list[Tree]:
        first = (number - 1) * TREES
        problems = [problem.id for problem in self.train[first : first + TREES]]
        game = task(self.train, budget=NODES, limit=self.plan.tokens)
        folder = self.out / "trees" / f"{number:03}"
        found = mars2_env.rollout(
            game, self.policy, problems=problems, seed=self.plan.seed, trees=TREES, in_flight=4, out=folder
        )
        return sorted(found, key=lambda tree: problems.index(tree.problem))

    def _deliver(self) -> None:
        """Give the learner's weights to the sampler; the folder is named by the version, also after a restart."""
        version = self.learner.version
        with without_bars():
            deliver(self.policy, self.learner.export(self.out / "weights" / f"{version:03}"))

    def _examine(self, batches: int) -> None:
        """Ask held-out problems after every so many batches, before the first and after the last."""
        place = self.out / "exams" / f"{batches:03}.json"
        if place.exists() or (batches % self.plan.every and batches != self.plan.updates):
            return
        game = task(self.test, budget=1, limit=self.plan.tokens)
        folder = self.out / "trees" / f"exam{batches:03}"
        limit = self.plan.held_out
        found = mars2_env.rollout(game, self.policy, limit=limit, seed=self.plan.seed, trees=NODES, out=folder)
        trees = list(found)
        hidden = mars2_env.evaluate(trees, problems=self.test)
        exam = Exam(batches, len(trees), hidden.pass_at_n, mean(tree.nodes[0].score for tree in trees))
        write(place, asdict(exam))


def row_of(number: int, trees: Sequence[Tree], samples: Sequence[Sample], report: Report, limit: int) -> Row:
    """Return a batch in numbers."""
    nodes = [node for tree in trees for node in tree.nodes]
    fresh = [node.score for node in nodes if node.parent == 0]
    refined = [node.score for node in nodes if node.parent]
    lengths = [sum(one.mask) for one in samples]
    seen = report.seen
    told = [one for one in (seen.importance_min, seen.importance_max) if one]
    return Row(
        batch=number,
        version=report.version,
        reward=mean(node.score for node in nodes),
        passed=mean(node.score == 1 for node in nodes),
        fresh=mean(fresh) if fresh else None,
        refined=mean(refined) if refined else None,
        distinct=mean(node.duplicate_of is None for node in nodes),
        samples=len(samples),
        length=mean(lengths),
        cut=mean(length >= limit for length in lengths),
        kl=seen.kl_reference,
        entropy=seen.entropy,
        apart=max(abs(log(one)) for one in told) if told else None,
        lag=seen.lag,
        grad_norm=report.grad_norm,
    )


def table(rows: Sequence[Row] | Sequence[Exam]) -> str:
    """Return rows of one kind as a Markdown table."""
    names = [one.name for one in fields(rows[0])]
    lines = [names, ["---"] * len(names), *([shown(getattr(row, name)) for name in names] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: float | None) -> str:
    """Return a number as tables show it."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def first_and_last(rows: Sequence[Row], name: str, part: int = 10) -> str:
    """Return how the mean of a column moved from the first batches to the last, with its standard error."""
    values = [float(getattr(row, name)) for row in rows if getattr(row, name) is not None]
    first, last = values[:part], values[-part:]
    error = sqrt(sum(variance(one) / len(one) for one in (first, last))) if min(len(first), len(last)) > 1 else nan
    return f"| {name} | {mean(first):.3f} | {mean(last):.3f} | {mean(last) - mean(first):+.3f} ± {error:.3f} |"


def summary(run: Run) -> str:
    """Return all that came out, as Markdown."""
    rows = run.rows
    told = [row.apart for row in rows if row.apart is not None]
    moved = [first_and_last(rows, name) for name in ("reward", "passed", "fresh", "length", "cut", "entropy")]
    seconds = sum(row.sampling for row in rows), sum(row.learning for row in rows)
    return "\n".join(
        [
            f"SmolLM2-135M, LoRA of rank {run.plan.rank}, {len(rows)} batches of {TREES} trees of {NODES} programs of "
            f"at most {run.plan.tokens} tokens, sampled by {run.plan.sampler}; {json.dumps(asdict(run.plan))}",
            "",
            table(rows),
            "",
            "| mean of | first 10 | last 10 | difference |",
            "|---|---|---|---|",
            *moved,
            "",
            "Held-out problems:",
            "",
            table(run.exams),
            "",
            f"After a sync the sampler's log-probs are at most {max(told, default=nan):.1e} nats from the learner's. "
            f"Sampling took {seconds[0]:.0f} s, learning {seconds[1]:.0f} s.",
        ]
    )


def read(file: Path) -> Any:
    """Return what a JSON file says."""
    return json.loads(file.read_text(encoding="utf-8"))


def write(file: Path, data: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(data), encoding="utf-8")
    os.replace(fresh, file)


def main() -> int:
    """Run the benchmark, or go on with it, and print what came out."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--quick", action="store_true", help="two batches of short replies")
    for one in fields(Plan):
        kind = type(one.default)
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    out, quick = given.pop("out"), given.pop("quick")
    plan = Plan(**({"updates": 2, "tokens": 24, "held_out": 4} if quick else {}) | given)
    if plan.sampler not in ("vllm", "transformers"):
        raise ConfigError(f"--sampler {plan.sampler}: give vllm or transformers.")
    place = out / "plan.json"
    if place.exists() and Plan(**read(place)) != plan:
        raise ConfigError(f"{out} was begun with {Plan(**read(place))}; give the same options, or another --out.")
    write(place, asdict(plan))
    with sampling(plan) as policy:
        run = Run(out, plan, policy)
        run.go_on()
    print(summary(run))
    return 0


if __name__ == "__main__":
    run_command(main)
