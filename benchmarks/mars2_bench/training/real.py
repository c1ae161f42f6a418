"""A real language model trained in trees: SmolLM2-135M with LoRA on starter problems, sampled by vLLM on a CPU.

    MARS2_VLLM_PYTHON=.vllm/bin/python python -m mars2_bench.training.real --out runs/real    # an hour on two cores
    python -m mars2_bench.training.real --out runs/quick --quick --sampler transformers       # to see that it works

First the base model is asked twice about each easy problem; trained is on those where it passes any test. Each step one
agent grows two trees of eight programs (RS2: credit within the tree; the reward is the share of scoring tests that
pass), the learner updates when 16 programs are there (GSPO, and a price for leaving the base model), the sampler gets
the new adapter while it stands. Printed as Markdown: a row a step, what held-out problems say before, between and after
(hidden tests), and after each step how far the sampler's log-probs of fresh replies are from the learner's. Whatever
that shows: a model this small hardly ever solves a problem.

The same command goes on where it was ended, and `--show` prints what is there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from math import nan, sqrt
from pathlib import Path
from statistics import mean, variance
from typing import Any, Final

import torch
from mars2_agents import ServerOptions, TransformersPolicy, VLLMPolicy, VLLMServer
from mars2_agents.algorithms.rs2 import rs2
from mars2_agents.learners.adapting import lora
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.policies.engine import Engine, read_model, read_tokenizer
from mars2_agents.policies.smollm2 import checkpoint, without_bars
from mars2_agents.training.evaluating import HeldOut
from mars2_agents.training.progress import METRICS, Progress, Shown
from mars2_agents.training.settings import Settings, Student
from mars2_agents.training.trainer import train

import mars2_env
from mars2_bench.command import run as run_command
from mars2_env.base.keys import seed as keyed
from mars2_env.errors import ConfigError
from mars2_env.problems import load_problems
from mars2_env.types import Limits, Message, Policy, PublicView, Stdin, Turn

AGENT: Final = "coder_0"
STUDENT: Final = "student"
NODES: Final = 8
TREES: Final = 2
CONTEXT: Final = 1024
AGREEMENT: Final = "agreement.jsonl"

COLUMNS: Final = {
    "reward": "train/reward",
    "solved trees": "train/solve_rate",
    "fresh that pass": f"agents/{AGENT}/root_success",
    "refined that pass": f"agents/{AGENT}/refinement_success",
    "duplicates": "train/duplicates",
    "tokens a reply": f"agents/{AGENT}/length",
    "cut replies": f"agents/{AGENT}/overlong",
    "updates": f"policies/{STUDENT}/updates",
    "KL to base": f"policies/{STUDENT}/kl_reference",
    "entropy": f"policies/{STUDENT}/entropy",
    "gradient": f"policies/{STUDENT}/grad_norm",
    "lag": f"policies/{STUDENT}/staleness",
    "s growing": "seconds/grow",
    "s updating": "seconds/update",
    "s delivering": "seconds/deliver",
}
"""Columns of the table of steps, and what the metrics call them."""

EXAMS: Final = {"held-out problems that pass": "eval/pass_at_n", "by hard-coding": "baseline/hard_coding"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run; a folder goes on with the plan that it was begun with."""

    steps: int = 30
    tokens: int = 128
    lr: float = 3e-4
    rank: int = 16
    kl: float = 1e-3
    temperature: float = 1.0
    probe: int = 2
    held_out: int = 20
    every: int = 10
    seed: int = 0
    sampler: str = "vllm"


@contextmanager
def sampling(plan: Plan, out: Path) -> Iterator[Policy]:
    """Run what samples; it acts with the base model until it is given an adapter."""
    place = checkpoint()
    how: dict[str, Any] = {"temperature": plan.temperature, "top_p": 1.0, "max_new_tokens": plan.tokens}
    if plan.sampler == "transformers":
        engine = Engine(read_model("smollm2", place, dtype=torch.float32), read_tokenizer("smollm2", place))
        yield TransformersPolicy(engine, context=CONTEXT, **how)
        return
    options = ServerOptions(
        str(place), kind="cpu", max_model_len=CONTEXT, max_num_seqs=NODES, max_loras=2, max_lora_rank=plan.rank
    )
    with VLLMServer(options, log=out / "vllm.log") as server:
        policy = VLLMPolicy(server, **how)
        yield policy
        policy.close()


def learner_of(plan: Plan) -> Learner:
    """Return the learner, as new."""
    with without_bars():
        model = lora(read_model("smollm2", checkpoint(), dtype=torch.float32), plan.rank, alpha=2 * plan.rank)
    return Learner(model, Optimising(lr=plan.lr, warmup=2, tokens=2048))


def apart(learner: Learner, policy: Policy, step: int, temperature: float) -> float:
    """Return the largest difference between a token's log-prob as the sampler tells it and as the learner scores it."""
    view = PublicView("agreement", "", Stdin(), (), "", Limits())
    asked: Message = {"role": "user", "content": "Write a Python function that adds two numbers."}
    turns = [Turn(0, AGENT, view, keyed("agreement", step, place), (asked,), 0, (0,)) for place in range(4)]
    written = [reply.generation for reply in policy.act(turns) if reply.generation is not None]
    scores = learner.score(written, temperature=temperature)
    if {one.weights_version for one in written} != {learner.version}:
        raise ConfigError(f"step {step}: the sampler does not act with version {learner.version} of the weights.")
    told = [torch.tensor(one.logprobs) for one in written]
    return max(float((a - b).abs().max()) for a, b in zip(scores, told, strict=True))


def task_of(plan: Plan, **options: Any) -> mars2_env.Task:
    """Return what is played on easy starter problems, by one agent."""
    return mars2_env.task(
        load_problems("starter", split="train", band="easy"),
        agents=["coder"],
        score="fraction",
        score_on="scoring",
        prompts=f"chat,max_tokens={CONTEXT - plan.tokens}",
        **options,
    )


def within_reach(plan: Plan, out: Path, policy: Policy) -> list[str]:
    """Return the problems on which one of a few fresh programs of the base model passes a scoring test.

    On the others no tree would have two different rewards, and nothing would be learnt.
    """
    task = task_of(plan, budget=plan.probe, selector="repeated_sampling")
    trees = mars2_env.rollout(task, policy, seed=keyed("probe", plan.seed), out=out / "probe", in_flight=plan.probe)
    found = {tree.problem for tree in trees if tree.best_score > 0}
    if not found:
        raise ConfigError(f"no program of {plan.probe} a problem passes a test; raise --probe or --tokens.")
    return [problem.id for problem in task.problems if problem.id in found]


def learn(plan: Plan, out: Path, policy: Policy, progress: Progress) -> None:
    """Train, or go on with it."""
    problems = within_reach(plan, out, policy)
    progress.line(f"the base model gets a reward on {len(problems)} problems; these are trained on")
    held = HeldOut(
        load_problems("starter", split="test", band="easy"), every=plan.every, nodes=1, at=(), limit=plan.held_out
    )
    learner = learner_of(plan)
    steps = train(
        task_of(plan, budget=NODES),
        {AGENT: STUDENT},
        students={STUDENT: Student(policy, learner)},
        algorithm=rs2(surrogate="gspo", kl=("k3", plan.kl)),
        settings=Settings(steps=plan.steps, problems=TREES, batch=TREES * NODES, seed=plan.seed, in_flight=4),
        out=out,
        held_out=held,
        problems=problems,
        progress=progress,
    )
    with steps:
        for report in steps:
            found = apart(learner, policy, report.step, plan.temperature)
            with (out / AGREEMENT).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": report.step, "apart": found}) + "\n")


def lines_of(file: Path) -> list[dict[str, Any]]:
    """Return what a file of JSON lines says."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def table(header: Sequence[str], rows: Sequence[Sequence[float | str | None]]) -> str:
    """Return rows as a Markdown table."""
    lines = [list(header), ["---"] * len(header), *([shown(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(value: float | str | None) -> str:
    """Return a number as tables show it."""
    if value is None or isinstance(value, str):
        return value or "-"
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if abs(value) >= 1e-3 else f"{value:.1e}"


def moved(steps: Sequence[Mapping[str, float]], name: str, part: int = 10) -> list[float | str]:
    """Return the mean of a measure over the first steps and the last, and the difference with its standard error."""
    values = [step[name] for step in steps if name in step]
    first, last = values[:part], values[-part:]
    if not values:
        return ["-", "-", "-"]
    enough = min(len(first), len(last)) > 1
    error = sqrt(sum(variance(one) / len(one) for one in (first, last))) if enough else nan
    return [mean(first), mean(last), f"{mean(last) - mean(first):+.3f} ± {error:.3f}"]


def summary(plan: Plan, out: Path) -> str:
    """Return what came out, as Markdown."""
    found = lines_of(out / METRICS)
    agreement = {line["step"]: line["apart"] for line in lines_of(out / AGREEMENT)}
    steps = [line for line in found if line["step"] > 0]
    exams = [line for line in found if "eval/pass_at_n" in line]
    rows = [
        [step["step"], *(step.get(name) for name in COLUMNS.values()), agreement.get(step["step"])] for step in steps
    ]
    means = [
        [text, *moved(steps, name)] for text, name in COLUMNS.items() if not text.startswith(("s ", "updates", "lag"))
    ]
    return "\n\n".join(
        [
            f"SmolLM2-135M, LoRA, {len(steps)} steps of {TREES} trees of {NODES} programs: {json.dumps(asdict(plan))}",
            table(["step", *COLUMNS, "sampler apart from learner, nats"], rows),
            table(["mean of", "first 10 steps", "last 10", "difference"], means),
            table(["step", *EXAMS], [[exam["step"], *(exam.get(name) for name in EXAMS.values())] for exam in exams]),
            f"After a step the sampler's log-probs are at most {max(agreement.values(), default=nan):.1e} nats from "
            "the learner's.",
        ]
    )


def main() -> int:
    """Run the benchmark, or go on with it, and print what came out."""
    parser = argparse.ArgumentParser(description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the run's folder")
    parser.add_argument("--quick", action="store_true", help="two steps of short replies")
    parser.add_argument("--show", action="store_true", help="print what is in the folder, and run nothing")
    for one in fields(Plan):
        parser.add_argument(
            f"--{one.name.replace('_', '-')}", type=type(one.default), default=argparse.SUPPRESS, help=str(one.default)
        )
    given = vars(parser.parse_args())
    out, quick, show = (given.pop(name) for name in ("out", "quick", "show"))
    plan = Plan(**({"steps": 2, "tokens": 24, "held_out": 4} if quick else {}) | given)
    if plan.sampler not in ("vllm", "transformers"):
        raise ConfigError(f"--sampler {plan.sampler}: give vllm or transformers.")
    place = out / "plan.json"
    before = Plan(**json.loads(place.read_text(encoding="utf-8"))) if place.exists() else None
    if show and before is not None:
        print(summary(before, out))
        return 0
    if before not in (None, plan):
        raise ConfigError(f"{out} was begun with {before}; give the same options, or another --out.")
    out.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    with sampling(plan, out) as policy, Shown(plan.steps) as progress:
        learn(plan, out, policy, progress)
    print(summary(plan, out))
    return 0


if __name__ == "__main__":
    run_command(main)
