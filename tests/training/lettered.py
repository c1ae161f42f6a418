"""A toy to train on: a policy whose tokens are letters, problems that `print(NUMBER)` solves, a tiny model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

import torch
import toys
import transformers
from mars2_agents.algorithms.answers import one_block
from mars2_agents.algorithms.lesson import Crew, Lesson
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.learners.updating import Report, update

import mars2_env
from mars2_env import Generation, ProblemSet, Reply, Turn
from mars2_env.base.keys import seed
from mars2_env.log import Tree

END = 0


def ids_of(text: str) -> tuple[int, ...]:
    """The tokens of a text: its letters."""
    return tuple(ord(letter) for letter in text if ord(letter) < 128)


def prompt_of(problem: int, *, fresh: bool = True) -> tuple[int, ...]:
    """The tokens of a prompt: the problem, and whether it asks for a fresh program."""
    return (1, 10 + problem, 2 if fresh else 3)


@dataclass
class Writer:
    """A policy, and what tells its tokens: it prints one of so many numbers and says how likely that was.

    Attributes:
        choices: how many numbers it knows; 0, 1, 2 solve the toy problems of these numbers.
        fresh: the number that it prints when it is asked for a fresh program.
        refined: the number that it prints in refinements.
        version: of its weights.
    """

    choices: int = 3
    fresh: int | None = None
    refined: int | None = None
    version: int = 0

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write for each turn."""
        return [self.reply(turn) for turn in turns]

    def reply(self, turn: Turn) -> Reply:
        """Write for one turn, from its seed alone where no number is said."""
        number = self.fresh if turn.parent == 0 else self.refined
        number = seed("guess", turn.seed) % self.choices if number is None else number
        text = one_block(turn, f"print({number})")
        ids = self.completion_ids(text)
        told: dict[str, Any] = {"logprobs_kind": "tempered", "temperature": 1.0, "top_p": 1.0}
        chances = (log(1 / self.choices), *[0.0] * (len(ids) - 1))
        return Reply(text, generation=Generation(self.prompt_ids(turn), ids, chances, "stop", self.version, **told))

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """The tokens of a turn."""
        return prompt_of(int(turn.problem.id[-1]), fresh=turn.parent == 0)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a reply."""
        return (*ids_of(text), END)


def problems() -> ProblemSet:
    """Three problems, each with a reference."""
    return ProblemSet("toy", tuple(replace(toys.problem(n), reference=f"print({n})") for n in range(3)), split="train")


def toy_task(agents: Any = 1, **options: Any) -> mars2_env.Task:
    """A task on them, of 8 nodes a tree."""
    return mars2_env.task(problems(), agents=agents, sandbox=toys.sandbox(), **{"budget": 8, **options})


def grown(task: mars2_env.Task, out: Path, team: Any = None, **options: Any) -> list[Tree]:
    """The trees of a task, logged."""
    return list(mars2_env.rollout(task, Writer() if team is None else team, out=out, **options))


def crew_of(task: mars2_env.Task, *names: str) -> Crew:
    """The agents of a task, played by policies of these names in turn."""
    policies = {agent: names[place % len(names)] for place, agent in enumerate(task.agents)}
    return Crew(policies, {name: Writer() for name in names}, task)


def tiny_model() -> Any:
    """A Llama of one layer whose tokens are letters."""
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


def learn(learner: Learner, lesson: Lesson) -> Report:
    """Make an update of a lesson."""
    return update(learner, lesson.samples, lesson.loss, reference=lesson.reference)


def learner() -> Learner:
    """A learner of the tiny model, with what it was at first for a reference."""
    return Learner(tiny_model(), Optimising(lr=1e-2), reference=tiny_model())


@dataclass(frozen=True)
class Some:
    """Tokens to be scored."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]


def chance(learner: Learner, problem: int, number: int) -> float:
    """How likely it is that a fresh answer to a toy problem prints this number, in logs."""
    text = f"```python\nprint({number})\n```"
    return float(learner.score([Some(prompt_of(problem), (*ids_of(text), END))])[0].sum())


def margin(learner: Learner) -> float:
    """How much likelier the right program for problem 1 is than the wrong ones, in logs."""
    return chance(learner, 1, 1) - max(chance(learner, 1, 0), chance(learner, 1, 2))
