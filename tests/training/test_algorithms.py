"""Algorithms, end to end on tiny logged trees: what is learnt, and that the better program becomes likelier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import toys  # noqa: E402
from mars2_agents.algorithms.answers import one_block  # noqa: E402
from mars2_agents.algorithms.lesson import Crew, Lesson, Scores  # noqa: E402
from mars2_agents.algorithms.named import ALGORITHMS, recipe  # noqa: E402
from mars2_agents.learners import losses  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402

import mars2_env  # noqa: E402
from mars2_env import Generation, ProblemSet, Reply, Turn  # noqa: E402
from mars2_env.base.keys import seed  # noqa: E402
from mars2_env.credit import Sample  # noqa: E402
from mars2_env.log import Tree  # noqa: E402

torch.set_num_threads(1)
END = 0


def ids_of(text: str) -> tuple[int, ...]:
    """The tokens of a text: its characters."""
    return tuple(ord(letter) for letter in text if ord(letter) < 128)


def prompt_of(problem: int, *, fresh: bool = True) -> tuple[int, ...]:
    """The tokens of a prompt: the problem, and whether it asks for a fresh program."""
    return (1, 10 + problem, 2 if fresh else 3)


@dataclass
class Writer:
    """A policy and what tells its tokens: it prints one of a few numbers, and says how likely that was."""

    choices: int = 3
    only: int | None = None

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        number = seed("guess", turn.seed) % self.choices if self.only is None else self.only
        text = one_block(turn, f"print({number})")
        ids = self.completion_ids(text)
        chance = (log(1 / self.choices), *[0.0] * (len(ids) - 1))
        told = {"logprobs_kind": "tempered", "temperature": 1.0, "top_p": 1.0}
        return Reply(text, generation=Generation(self.prompt_ids(turn), ids, chance, **told))  # type: ignore[arg-type]

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        return prompt_of(int(turn.problem.id[-1]), fresh=turn.parent == 0)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        return (*ids_of(text), END)


def problems() -> ProblemSet:
    """Three problems, each with a reference."""
    return ProblemSet("toy", tuple(replace(toys.problem(n), reference=f"print({n})") for n in range(3)), split="train")


def toy_task(agents: Any = 1, **options: Any) -> mars2_env.Task:
    return mars2_env.task(problems(), agents=agents, sandbox=toys.sandbox(), **{"budget": 8, **options})


def grown(task: mars2_env.Task, out: Path, team: Any = None) -> list[Tree]:
    return list(mars2_env.rollout(task, team or Writer(), out=out))


def crew_of(task: mars2_env.Task, *names: str) -> Crew:
    """The agents of a task, played by policies of these names in turn."""
    policies = {agent: names[place % len(names)] for place, agent in enumerate(task.agents)}
    return Crew(policies, {name: Writer() for name in names}, task)


def model() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
    )
    return transformers.LlamaForCausalLM(config).eval()


def scores(rows: Sequence[Sample], logprobs: Sequence[Any], reference: Sequence[Any] | None = None) -> Scores:
    """A batch, padded with NaN."""

    def padded(values: Sequence[Any]) -> Any:
        return torch.nn.utils.rnn.pad_sequence(
            [torch.as_tensor(value, dtype=torch.float32) for value in values], True, float("nan")
        )

    return Scores(
        logprob=padded(logprobs),
        old=padded(logprobs),
        sampler=padded([row.logprobs for row in rows]),
        reference=None if reference is None else padded(reference),
        mask=torch.nn.utils.rnn.pad_sequence([torch.tensor(row.mask) for row in rows], batch_first=True),
        advantage=torch.tensor([row.advantage for row in rows]),
        imitated=torch.tensor([row.imitated for row in rows]),
        lag=torch.zeros(len(rows)),
    )


def learn(learner: Learner, lesson: Lesson) -> float:
    """Make an update, and return the norm of its gradient."""
    found = learner.score(lesson.samples)
    batch = scores(lesson.samples, found, found if lesson.reference else None)
    _, weights = losses.weights_on_logprobs(lambda lp: lesson.loss(replace(batch, logprob=lp)), batch.logprob)
    learner.backward(lesson.samples, [row[: len(one)] for row, one in zip(weights, found, strict=True)])
    return learner.step().grad_norm


def chance(learner: Learner, problem: int, number: int) -> float:
    """How likely a fresh answer to a toy problem is, in logs."""
    asked = Some(prompt_of(problem), (*ids_of(f"```python\nprint({number})\n```"), END))
    return float(learner.score([asked])[0].sum())


@dataclass(frozen=True)
class Some:
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


CREWS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "grpo": (1, ("p",)),
    "rs2": (1, ("p",)),
    "homogeneous": (2, ("p",)),
    "heterogeneous": (2, ("p", "q")),
    "mars2_plus": (2, ("p", "q")),
    "shared_solutions": (2, ("p", "q")),
    "sft": (2, ("p", "q")),
    "rejection": (2, ("p",)),
}


def test_every_algorithm_is_tried_here() -> None:
    assert set(CREWS) == {name for name in ALGORITHMS.names() if ALGORITHMS.owns(name)}


def margin(learner: Learner) -> float:
    """How much likelier the right program for problem 1 is than the wrong ones, in logs."""
    return chance(learner, 1, 1) - max(chance(learner, 1, 0), chance(learner, 1, 2))


@pytest.mark.parametrize("name", CREWS)
def test_the_better_program_becomes_likelier(name: str, tmp_path: Path) -> None:
    given = {"duplicates": "keep", "kl": ("k3", 1e-3), "tis": 2.0}
    options = {option: value for option, value in given.items() if option in recipe(name).options}
    agents, policies = CREWS[name]
    made = recipe(name)
    task = toy_task(agents, **{**made.task, "budget": 12})
    crew = crew_of(task, *policies)
    made.check(crew)
    trees = list(mars2_env.rollout(task, Writer(), problems=["toy/1"], out=tmp_path))
    found = made(**options)(trees, crew)
    assert set(found) == set(policies)
    for lesson in found.values():
        learner = Learner(model(), Optimising(lr=1e-2))
        before = margin(learner)
        norms = [learn(learner, lesson) for _ in range(6)]
        assert all(0 < norm < float("inf") for norm in norms)
        assert margin(learner) > before + 0.5
