"""How an arm of the miniature experiment is run: bases, trainings side by side, and what they come to when held out."""

from __future__ import annotations

import copy
import itertools
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from mars2_agents.algorithms.grpo import grpo
from mars2_agents.algorithms.heterogeneous import heterogeneous
from mars2_agents.algorithms.homogeneous import homogeneous
from mars2_agents.algorithms.lesson import Algorithm
from mars2_agents.algorithms.rs2 import rs2
from mars2_agents.algorithms.shared_solutions import with_shared_solutions
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.training.settings import Settings, Student
from mars2_agents.training.trainer import StepReport, Training, train

from mars2_bench.training.arms import PAIRS, Arm, Base
from mars2_bench.training.bases import base
from mars2_bench.training.held_out import AGENTS, fresh_measures, has_blind, team_measures, team_task
from mars2_bench.training.policy import MiniaturePolicy
from mars2_bench.training.world import CODES, INPUTS, SLOTS, pipelines, problems, program_of
from mars2_env.problems import ProblemSet
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.sandbox.cached import CachedSandbox
from mars2_env.types import Call

LEARNING_RATE: Final = 3e-4
KL: Final = ("k3", 1e-3)

TOKENS: Final = 256
"""Tokens of a learner's forward pass: on a CPU short rows are quickest, since attention is over all of a row."""

COEFFICIENT: Final = 1.0
"""Of the likelihood of shared solutions."""

NODES: Final = (4, 8, 16)
"""After how many nodes a team's trees are looked at."""

BASES: Final = "bases"
RUNS: Final = "runs.sqlite"
WEIGHTS: Final = "weights"

LUCK: Final = 1
"""The seed of trees on held-out tasks: all arms meet the same luck."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large an experiment is.

    Attributes:
        steps: of a training.
        samples: completions of a policy in a step.
        batch: samples of an update. Programs that their tree had already give none: about half do in time, so that a
            policy makes about one update a step.
        nodes: of a tree in training.
        draws: fresh answers to each held-out task, for Pass@1.
        tasks: held-out tasks; None for all.
        every: steps between two looks at held-out tasks.
        looks: tasks of such a look.
        fine_tuning: updates of a base.
    """

    steps: int = 60
    samples: int = 128
    batch: int = 64
    nodes: int = 8
    draws: int = 4
    tasks: int | None = None
    every: int = 10
    looks: int = 108
    fine_tuning: int = 1000


FULL: Final = Size()
QUICK: Final = Size(steps=20, tasks=144, every=20, looks=36, fine_tuning=600)


@dataclass(frozen=True, slots=True)
class Bench:
    """Where an experiment takes place.

    Attributes:
        out: its folder.
        size: how large it is.
        train: the problems that are trained on.
        held: those that are held out.
        looks: those of them that learning curves are made of.
        sandbox: where programs run.
    """

    out: Path
    size: Size
    train: ProblemSet
    held: ProblemSet
    looks: ProblemSet
    sandbox: Sandbox


def bench(out: Path, size: Size, sandbox: Sandbox | None = None) -> Bench:
    """Return where an experiment takes place; programs run in the sandbox `auto`, each once on equal inputs.

    All programs that can be written run at once, so that no training waits for them; what is no program still comes up.
    """
    out.mkdir(parents=True, exist_ok=True)
    held = problems(held=True)
    kept = CachedSandbox(sandbox or make_sandbox(workers=1), out / RUNS)
    for pipeline in itertools.product(CODES.values(), repeat=SLOTS):  # all inputs of a program at once: one process
        kept.run(program_of("".join(pipeline)), [[list(xs)] for xs in INPUTS], interface=Call("solve"))
    return Bench(out, size, problems(held=False), held[: size.tasks], held[: size.looks], kept)


def model_of(place: Bench, one: Base) -> Any:
    """Return a base model, fine-tuned the first time."""
    return base(
        place.out / BASES / one.name, one.known, one.seed, pipelines(held=False), updates=place.size.fine_tuning
    )


def algorithm_of(arm: Arm) -> Algorithm:
    """Return the algorithm of an arm: GSPO and a KL term in all of them, so that they differ in credit alone."""
    how: dict[str, Any] = {"surrogate": "gspo", "kl": KL}
    shaping: dict[str, Any] = {"gamma": arm.gamma, "scope": arm.scope}
    match arm.algorithm:
        case "grpo":
            return grpo(**how)
        case "rs2":
            return rs2(gamma=arm.gamma, **how)
        case "homogeneous":
            return homogeneous(**shaping, **how)
        case "heterogeneous":
            return heterogeneous(**shaping, **how)
        case "rs2_shared":
            return with_shared_solutions(rs2(gamma=arm.gamma, **how), coefficient=COEFFICIENT)
        case _:
            return with_shared_solutions(heterogeneous(**shaping, **how), coefficient=COEFFICIENT)


def student_of(model: Any) -> Student:
    """Return a student of a base: it acts, it learns, and the base itself is its reference."""
    optimising = Optimising(lr=LEARNING_RATE, tokens=TOKENS)
    return Student(
        MiniaturePolicy(copy.deepcopy(model)),
        Learner(copy.deepcopy(model), optimising, reference=model.eval().requires_grad_(False)),
    )


def trainings(place: Bench, arm: Arm, students: Mapping[str, Student], seed: int, folder: Path) -> list[Training]:
    """Return the trainings of an arm, which go on side by side: one, or one for each agent that trains apart."""
    size, algorithm = place.size, algorithm_of(arm)
    options = {"selector": "repeated_sampling"} if arm.algorithm == "grpo" else {}
    if arm.training == "apart":
        teams = [{AGENTS[who]: who} for who in students]
    elif arm.training == "alone":
        teams = [dict.fromkeys(AGENTS.values(), "a")]
    else:
        teams = [{AGENTS[who]: who for who in students}]
    found = []
    for number, team in enumerate(teams):
        mine = {name: students[name] for name in sorted(set(team.values()))}
        settings = Settings(
            steps=size.steps * arm.steps,
            problems=size.samples * len(mine) // size.nodes,
            batch=size.batch,
            seed=seed,
            save_every=size.steps * arm.steps,
        )
        task = team_task(place.train, place.sandbox, list(team), size.nodes, score_on="scoring", **options)
        part = folder / str(number)
        found.append(train(task, team, students=mine, algorithm=algorithm, settings=settings, out=part, metrics=()))
    return found


def measured(
    place: Bench,
    players: Mapping[str, MiniaturePolicy],
    blind: Mapping[str, Sequence[str]],
    held: ProblemSet,
    *,
    draws: int,
    nodes: Sequence[int],
) -> dict[str, Any]:
    """Return what policies come to on held-out tasks, task by task: alone (Pass@1), and as a team in one tree.

    Args:
        place: the bench.
        players: `a` and `b` -> the policy that acts for it.
        blind: `a` and `b` -> the operations to which its base is blind.
        held: the tasks.
        draws: fresh answers to each task.
        nodes: after how many nodes trees are looked at.
    """
    alone = {who: policy for who, policy in players.items() if who == "a" or policy is not players["a"]}
    return {
        "fresh": {
            who: fresh_measures(policy, held, place.sandbox, draws=draws, seed=LUCK) for who, policy in alone.items()
        },
        "has_blind": {who: has_blind(held, blind[who]) for who in alone},
        "team": team_measures(players, held, place.sandbox, blind=blind, nodes=nodes, seed=LUCK),
    }


def point(place: Bench, players: Mapping[str, MiniaturePolicy], blind: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return a point of a learning curve: Pass@1 of each policy, and of the team at as many nodes as in training."""
    nodes = place.size.nodes
    found = measured(place, players, blind, place.looks, draws=1, nodes=(nodes,))
    team = found["team"]["mcts"][str(nodes)]
    return {
        "fresh": {who: sum(rates) / len(rates) for who, rates in found["fresh"].items()},
        "team": sum(team) / len(team),
    }


def numbers_of(report: StepReport, who: str) -> dict[str, float]:
    """Return of a step what is kept of an agent: its reward, mean advantage and duplicates, and which trees pass."""
    values, agent = report.values, AGENTS[who]
    return {
        "solve_rate": values["train/solve_rate"],
        "reward": values.get(f"agents/{agent}/reward", 0.0),
        "advantage": values.get(f"agents/{agent}/advantage", 0.0),
        "duplicates": values.get(f"agents/{agent}/duplicates", 0.0),
    }


def run_arm(place: Bench, arm: Arm, seed: int, name: str) -> dict[str, Any]:
    """Run one arm at one seed, and return all that it came to.

    Args:
        place: the bench.
        arm: what is run.
        seed: of its trainings.
        name: of its folders of trainings and of weights.
    """
    begun = time.process_time()
    bases = dict(PAIRS[arm.pair])
    if arm.training == "alone":
        bases["b"] = bases["a"]
    models = {one.name: model_of(place, one) for one in bases.values()}
    students = {who: student_of(models[one.name]) for who, one in bases.items() if who == "a" or one != bases["a"]}
    players = {who: cast(MiniaturePolicy, students.get(who, students["a"]).policy) for who in bases}
    blind = {who: one.blind for who, one in bases.items()}
    told: dict[str, Any] = {"curve": [], "trained": {}, "spent": {}}
    if arm.training != "none":
        told = trained(place, arm, seed, name, students, players, blind)
    found = measured(place, players, blind, place.held, draws=place.size.draws, nodes=NODES)
    return {**found, **told, "cpu_seconds": time.process_time() - begun}


def trained(
    place: Bench,
    arm: Arm,
    seed: int,
    name: str,
    students: Mapping[str, Student],
    players: Mapping[str, MiniaturePolicy],
    blind: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Train the students of an arm, keep their weights, and return their learning curves and what they were given."""
    folder = place.out / "trainings" / name
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped: a minute's work
    every = place.size.every
    curve = [{"step": 0, **point(place, players, blind)}]
    steps: dict[str, list[dict[str, float]]] = {who: [] for who in players}
    spent = {who: dict.fromkeys(("completions", "tokens", "learnt", "updates"), 0) for who in students}
    running = trainings(place, arm, students, seed, folder)
    for step in range(1, place.size.steps * arm.steps + 1):
        before = {who: (player.completions, player.tokens) for who, player in players.items()}
        for report in map(next, running):
            for who in (who for who in players if f"agents/{AGENTS[who]}/nodes" in report.values):
                steps[who].append(numbers_of(report, who))
            for who, counts in report.counts.items():
                spent[who] |= {"learnt": counts.used, "updates": report.versions[who]}
        for who, counted in spent.items():
            counted["completions"] += players[who].completions - before[who][0]
            counted["tokens"] += players[who].tokens - before[who][1]
        if step % every == 0:
            curve.append({"step": step, **point(place, players, blind)})
    for training in running:
        training.close()
    for who, student in students.items():
        assert student.learner is not None  # nobody here is a fixed partner
        student.learner.export(place.out / WEIGHTS / name / who)
    shutil.rmtree(folder)
    return {"curve": curve, "trained": steps, "spent": spent}
