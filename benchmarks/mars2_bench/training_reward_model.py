r"""Does a reward model that learned from logs help where public tests tell little? AUC, calibration, Pass@1(MCTS).

    python -m mars2_bench.training_reward_model --out runs/reward_model      # goes on where it stopped
    python -m mars2_bench.training_reward_model --quick                      # to see that it works

The task: starter problems of which one public test is shown, two SIMULATED authors (`noise:default`) who write
reference programs with slips, 16 nodes a tree, preset tplus without a model. Many programs then pass the one test and
fail the hidden ones. All programs run in the sandbox.

Nothing that is reported was used to choose anything. Every fifth template is left out of training altogether. Of the
other templates, in the train split: variants 0 to 2 are learned from, 4 calibrates, and 3 is where objective and weight
are chosen. The report is on the test split, whose constants no training problem has, for templates that training knows
and for those that it does not. Differences are paired by problem (bootstrap over problems, 95 %), with the smallest
difference that would be found (power 0.8).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from mars2_agents.models.answering import liked
from mars2_agents.models.checkpoints import Scratch
from mars2_agents.models.examples import Examples, read_examples
from mars2_agents.models.fitting import Settings, calibrate, fit
from mars2_agents.models.reporting import Report, report
from mars2_agents.models.reward_model import FILE, LearnedRewardModel, load_reward_model
from numpy.typing import NDArray

import mars2_env
from mars2_bench.command import run as run_command
from mars2_env import Limits, ProblemSet, PublicView, Results, RewardModel, load_problems, make_sandbox
from mars2_env.base import keys
from mars2_env.problems.starter import TEMPLATES
from mars2_env.results import AnswerRule
from mars2_env.results.paired import bootstrap_interval, minimum_detectable_effect
from mars2_env.sandbox import CachedSandbox, Sandbox

AUTHORS: Final = "noise:default"
LIMITS: Final = Limits(cpu_seconds=0.5, wall_seconds=5)
"""The references need far less, and many slips make a loop without end."""
LEFT_OUT: Final = frozenset(template.name for template in TEMPLATES[4::5])
"""The templates that training never sees."""
LEARN, CHOOSE, CALIBRATE = ("0", "1", "2"), ("3",), ("4",)
"""Variants of a template in the train split, by what they are for."""
CPU_SECONDS: Final = "cpu_seconds"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        sets: training sets: seeds of the starter set, each with constants of its own.
        fresh: sets of the test split that the report is on.
        templates: how many templates; the first ones.
        nodes: of a tree.
        settings: of training, by name.
        weights: of the model in what selectors see; the best on training problems is reported.
    """

    sets: int
    fresh: int
    templates: int
    nodes: int
    settings: dict[str, Settings]
    weights: tuple[float, ...]


def full() -> Size:
    """Return what is reported."""
    base = Settings(max_tokens=192, device="cpu")
    settings = {
        "pairwise, all": base,
        "pairwise, tied": replace(base, compare="tied", epochs=12),
        "pointwise": replace(base, objective="pointwise"),
    }
    return Size(4, 2, len(TEMPLATES), 16, settings, (0.1, 0.25, 0.4))


def quick() -> Size:
    """Return what shows that it works."""
    small = Settings(scratch=Scratch(hidden=32, layers=1), max_tokens=128, epochs=4, batch=16, device="cpu")
    return Size(1, 1, 5, 8, {"pairwise, all": small}, (0.25,))


def weak(split: str, seed: int, templates: int) -> ProblemSet:
    """Return a starter set of the first so many templates, its problems with one public test each."""
    names = {template.name for template in TEMPLATES[:templates]}
    found = load_problems("starter", split=split, seed=seed)
    problems = tuple(replace(one, public=one.public[:1]) for one in found if template_of(one.id) in names)
    return replace(found, name="starter with one public test", problems=problems)


def template_of(problem: str) -> str:
    """Return the name of the template that a problem was made from."""
    return problem.split("/")[2]


def variant_of(problem: str) -> str:
    """Return which variant of its template a problem is, as a digit."""
    return problem[-1]


def chosen_of(problems: Iterable[str], variants: Collection[str]) -> list[str]:
    """Return the problems of these variants, of the templates that training may see."""
    return [one for one in problems if variant_of(one) in variants and template_of(one) not in LEFT_OUT]


def grown(
    problems: ProblemSet,
    ids: Sequence[str],
    out: Path,
    sandbox: Sandbox,
    nodes: int,
    *,
    seed: int = 0,
    model: LearnedRewardModel | None = None,
    weight: float = 0.0,
) -> Path:
    """Grow and evaluate a tree for each problem in a run folder, or finish what is there, and return the folder."""
    rated: dict[str, Any] = {} if model is None else {"reward_model": model, "model_weight": weight}
    task = mars2_env.task(
        problems,
        preset="tplus",
        score_on="public",
        agents=2,
        budget=nodes,
        sandbox=sandbox,
        limits=LIMITS,
        **rated,
    )
    for _ in mars2_env.rollout(task, AUTHORS, problems=ids, seed=seed, out=out):
        pass
    mars2_env.evaluate(out, problems=problems, sandbox=sandbox)
    return out


def learned(name: str, settings: Settings, out: Path, examples: Examples) -> LearnedRewardModel:
    """Return a model that learned from variants 0 to 2 and was calibrated on 4; one that is in the folder is taken."""
    folder = out / "models" / name.replace(", ", "-")
    if (folder / FILE).is_file():
        return load_reward_model(folder, device=settings.device)
    kept = examples.of(chosen_of(examples.problems, LEARN))
    held_out = examples.of(chosen_of(examples.problems, CALIBRATE))
    begun = process_time()
    model = calibrate(fit(kept, settings, observer=_shown(name)), held_out)
    model = model.told(learned={**model.about.learned, CPU_SECONDS: round(process_time() - begun)})
    model.save(folder)
    return model


def _shown(name: str) -> Callable[[int, int, float], None]:
    """Return what says how far training is, ten times in all."""

    def show(step: int, steps: int, loss: float) -> None:
        if step % max(1, steps // 10) == 0:
            say(f"{name}: step {step} of {steps}, loss {loss:.3f}")

    return show


def say(text: str) -> None:
    """Say how far the work is; the report alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def by_problem(results: Iterable[Results], measure: Callable[[Any], bool]) -> dict[str, float]:
    """Return problem -> the mean of a measure over its trees."""
    found: dict[str, list[float]] = {}
    for one in results:
        for tree in one.trees:
            found.setdefault(tree.problem, []).append(float(measure(tree)))
    return {problem: float(np.mean(values)) for problem, values in found.items()}


@dataclass(frozen=True, slots=True)
class Arm:
    """What a way to search and to answer comes to: problem -> Pass@1(MCTS)."""

    name: str
    passed: dict[str, float]

    def row(self, base: Arm, problems: Sequence[str]) -> str:
        """Return the row of a table: the share, and the paired difference to a base."""
        own = np.array([self.passed[one] for one in problems])
        if self is base:
            return f"| {self.name} | {own.mean():.3f} | | |"
        difference: NDArray[np.float64] = own - np.array([base.passed[one] for one in problems])
        low, high = bootstrap_interval(difference)
        return (
            f"| {self.name} | {own.mean():.3f} | {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] | "
            f"{minimum_detectable_effect(difference):.3f} |"
        )


class Chance:
    """A reward model that knows nothing: what a model adds, it adds to this."""

    def score(self, problem: PublicView, programs: Sequence[str]) -> list[float]:
        """Return numbers in [0, 1) that are as good as drawn, and the same each time."""
        return [keys.seed("chance", problem.id, program) % 2**32 / 2**32 for program in programs]


class Study:
    """All of it, in a folder that keeps what was grown, judged and learned."""

    def __init__(self, size: Size, out: Path, sandbox: Sandbox) -> None:
        self.size = size
        self.out = out
        self.sandbox = sandbox
        self.training = [weak("train", seed, size.templates) for seed in range(size.sets)]
        self.fresh = [weak("test", seed, size.templates) for seed in range(size.fresh)]

    def trees(self, problems: ProblemSet, ids: Sequence[str], name: str, **options: Any) -> Path:
        """Grow and evaluate trees in a folder of the study."""
        say(f"{name}: {len(ids)} trees")
        return grown(problems, ids, self.out / name, self.sandbox, self.size.nodes, **options)

    def examples(self) -> Examples:
        """Return the programs of training problems with their hidden verdicts."""
        found = []
        for seed, problems in enumerate(self.training):
            ids = chosen_of((one.id for one in problems), (*LEARN, *CHOOSE, *CALIBRATE))
            found.append(read_examples([self.trees(problems, ids, f"train-{seed}")], problems=problems))
        return Examples(tuple(row for one in found for row in one.rows))

    def answered(self, runs: Sequence[Path], sets: Sequence[ProblemSet], how: AnswerRule) -> dict[str, float]:
        """Return problem -> Pass@1(MCTS) of finished runs by a rule."""
        results = [
            mars2_env.evaluate(run, problems=problems, sandbox=self.sandbox, answer=how)
            for run, problems in zip(runs, sets, strict=True)
        ]
        return by_problem(results, lambda tree: tree.answer_passed)

    def guided(
        self, sets: Sequence[ProblemSet], ids: Callable[[ProblemSet], Sequence[str]], name: str, **options: Any
    ) -> list[Path]:
        """Grow trees on several sets."""
        return [self.trees(problems, ids(problems), f"{name}-{seed}", **options) for seed, problems in enumerate(sets)]

    def weight(self, model: LearnedRewardModel) -> tuple[float, list[str]]:
        """Return the weight with the best Pass@1(MCTS) on training problems kept for that, and a table of all."""
        found: dict[float, float] = {}
        for weight in self.size.weights:
            runs = self.guided(self.training, _to_choose_on, f"choose-{weight}", seed=1, model=model, weight=weight)
            found[weight] = float(np.mean(list(self.answered(runs, self.training, "reward").values())))
        best = max(found, key=lambda weight: (found[weight], -weight))
        rows = [f"| {weight} | {share:.3f} |" for weight, share in found.items()]
        return best, ["| weight | Pass@1(MCTS) |", "|---|---|", *rows]

    def run(self) -> Iterable[str]:
        """Yield the lines of the report."""
        examples = self.examples()
        to_choose_on = examples.of(chosen_of(examples.problems, CHOOSE))
        models = {name: learned(name, one, self.out, examples) for name, one in self.size.settings.items()}
        yield from (
            f"Learned from {len(examples.of(chosen_of(examples.problems, LEARN)).rows)} programs of "
            f"{len(chosen_of(examples.problems, LEARN))} training problems; {self.size.nodes} nodes a tree.",
            "",
            "CPU seconds of training, on one core: "
            + ", ".join(f"{name}: {model.about.learned[CPU_SECONDS]}" for name, model in models.items()),
            "",
            "Chosen on training problems (variant 3), by AUC among programs that pass all public tests:",
            "",
        )
        seen = {name: report(model, to_choose_on) for name, model in models.items()}
        yield from table(seen)
        best = max(seen, key=lambda name: (np.nan_to_num(seen[name].tied), name))
        weight, rows = self.weight(models[best])
        yield from (
            "",
            f"The weight in what selectors see, for '{best}' (other trees of the same problems):",
            "",
            *rows,
        )
        yield from self.fresh_report(models, best, weight)

    def fresh_report(self, models: dict[str, LearnedRewardModel], best: str, weight: float) -> Iterable[str]:
        """Yield the report on problems that nothing was chosen by."""
        plain = self.guided(self.fresh, _all, "fresh")
        steered = self.guided(self.fresh, _all, "fresh-guided", model=models[best], weight=weight)
        found = [read_examples([run], problems=problems).rows for run, problems in zip(plain, self.fresh, strict=True)]
        examples = Examples(tuple(row for rows in found for row in rows))
        arms = [Arm("without a model (the latest of the best)", self.answered(plain, self.fresh, "best"))]
        arms.append(Arm("the same trees, answer by chance among the best", self.answered_by(Chance(), plain, examples)))
        for name, model in models.items():
            arms.append(Arm(f"the same trees, answer by '{name}'", self.answered_by(model, plain, examples)))
        guided = f"guided by '{best}' (weight {weight}), answer by it"
        arms += [
            Arm(guided, self.answered(steered, self.fresh, "reward")),
            Arm("the same trees, answer by agreement (runs programs)", self.answered(plain, self.fresh, "agreement")),
            Arm("Pass@N of these trees: the most an answer can reach", self.solved(plain)),
            Arm("Pass@N of the guided trees", self.solved(steered)),
        ]
        parts: dict[str, Callable[[str], bool]] = {
            "templates of training, constants of none": lambda one: template_of(one) not in LEFT_OUT,
            "templates that training never saw": lambda one: template_of(one) in LEFT_OUT,
        }
        for part, belongs in parts.items():
            ids = [one for one in arms[0].passed if belongs(one)]
            yield from ("", f"Fresh problems, {part}: {len(ids)}", "")
            yield from table({one: report(model, examples.of(ids)) for one, model in models.items()})
            yield from ("", "| search and answer | Pass@1(MCTS) | difference | smallest found |", "|---|---|---|---|")
            yield from (arm.row(arms[0], ids) for arm in arms)

    def answered_by(self, model: RewardModel, runs: Sequence[Path], examples: Examples) -> dict[str, float]:
        """Return problem -> Pass@1(MCTS) of fresh runs whose search had no model, by a model's choice."""
        passed = {(row.problem, row.program): row.passed for row in examples.rows}
        found: dict[str, float] = {}
        for run, problems in zip(runs, self.fresh, strict=True):
            for tree in mars2_env.read_log(run):
                node = liked(tree, model, problems[tree.problem].public_view())
                if node is not None and node.duplicate_of is not None:
                    node = tree.nodes[node.duplicate_of - 1]
                found[tree.problem] = float(node is not None and passed[tree.problem, node.program or ""])
        return found

    def solved(self, runs: Sequence[Path]) -> dict[str, float]:
        """Return problem -> Pass@N of fresh runs."""
        results = [
            mars2_env.evaluate(run, problems=problems, sandbox=self.sandbox)
            for run, problems in zip(runs, self.fresh, strict=True)
        ]
        return by_problem(results, lambda tree: tree.nodes_passed > 0)


def _to_choose_on(problems: ProblemSet) -> list[str]:
    return chosen_of((one.id for one in problems), CHOOSE)


def _all(problems: ProblemSet) -> list[str]:
    return [one.id for one in problems]


def table(reports: dict[str, Report]) -> Iterable[str]:
    """Yield reports as a table, one column each."""
    yield f"| | {' | '.join(reports)} |"
    yield "|---|" + "---|" * len(reports)
    columns = [dict(one.rows()) for one in reports.values()]
    for what in columns[0]:
        yield f"| {what} | {' | '.join(column[what] for column in columns)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all of it and print the report."""
    parser = argparse.ArgumentParser(
        prog="python -m mars2_bench.training_reward_model",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="a folder that keeps everything; by default one that is removed")
    parser.add_argument("--sandbox", default="auto", help="where programs run (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="five templates, one small model: to see that it works")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with nullcontext(options.out) if options.out else tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        with CachedSandbox(make_sandbox(options.sandbox), out / "runs.sqlite") as sandbox:
            for line in Study(quick() if options.quick else full(), out, sandbox).run():
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    run_command(main)
