"""From a configuration to what learns and acts: models, learners, samplers, and the algorithm under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import torch
import torch.distributed as dist

from mars2_agents.algorithms.lesson import Algorithm, Crew, Lesson, Remembers
from mars2_agents.learners.adapting import frozen, full, lora
from mars2_agents.learners.division import Alone, Division
from mars2_agents.learners.learner import Learner
from mars2_agents.learners.updating import Learns
from mars2_agents.policies.engine import Engine, device_of, dtype_of, engine, place_of, read_model, read_tokenizer
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.training.config import Training, sampling_settings
from mars2_agents.training.settings import Student
from mars2_agents.training.tables import PolicyTable
from mars2_env.base.abilities import keeps
from mars2_env.base.keys import seed
from mars2_env.base.spec import parse_spec, write_spec
from mars2_env.config import Reader
from mars2_env.errors import ConfigError
from mars2_env.log import Tree
from mars2_env.tasks import Task
from mars2_env.tasks.policies import make_policy
from mars2_env.types import Closes, Policy, Turn

VLLM_RANKS: Final = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks of adapters that a vLLM server can be set to."""

VLLM_ADAPTERS: Final = 4
"""Adapters of a server that is started for policies with one each: new ones come before old ones go."""


@dataclass(frozen=True, slots=True)
class NamedAlgorithm:
    """An algorithm that a training's folder knows by name and options, and refuses to go on with as another.

    Attributes:
        name: of its recipe.
        options: as the file says them.
        algorithm: what it is.
    """

    name: str
    options: str
    algorithm: Algorithm = field(repr=False)

    def __call__(self, trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
        """Return the algorithm's own lessons."""
        return self.algorithm(trees, crew)

    @property
    def memory(self) -> Mapping[str, Any] | None:
        """What the algorithm goes by from step to step."""
        return self.algorithm.memory if isinstance(self.algorithm, Remembers) else None

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Have the algorithm go on from that."""
        if isinstance(self.algorithm, Remembers):
            self.algorithm.remember(memory)


class _Untold:
    """Stands for what tells tokens, of policies that are not there yet."""

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return none."""
        return ()

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return none."""
        return ()


def build_algorithm(training: Training, task: Task) -> NamedAlgorithm:
    """Return the algorithm of a training.

    Args:
        training: the training.
        task: what is played in it.

    Raises:
        ConfigError: an option has a value that makes no sense, it is not for such a crew, or a policy lacks the
            reference that its loss needs.
    """
    table = training.algorithm
    try:
        training.recipe.check(Crew(training.team, dict.fromkeys(training.policies, _Untold()), task))
    except ConfigError as error:
        raise ConfigError(f"{training.file}: algorithm.name={table.name!r}: {error}") from None
    found = NamedAlgorithm(table.name, repr(sorted(table.options.items())), training.build_algorithm())
    lessons = found([], Crew(training.team)) if table.options.get("kl") is not None else {}
    for name, lesson in lessons.items():
        policy = training.policies[name]
        if lesson.reference and policy.train == "full" and not policy.reference:
            raise ConfigError(
                f"{training.file}: algorithm.kl={table.options['kl']!r}: policies.{name} keeps no reference to stay "
                f"near to; say reference = true in [policies.{name}], or leave kl out."
            )
    return found


@contextmanager
def students(training: Training, task: Task) -> Iterator[dict[str, Student]]:
    """Load models, and yield policy -> its student; samplers that were started are stopped behind it.

    Args:
        training: the training.
        task: what is played in it.

    torch's own generator begins at the training's seed, so that what checkpoints hold of it repeats. Of several
    processes (`mars2_agents.training.processes`) the first one calls this, and the others `learners`.

    Raises:
        ConfigError: a device cannot be used, or a setting makes no sense.
        PolicyError: a model cannot be loaded, or a sampler not be started.
    """
    acting: dict[str, Policy] = {}
    try:
        for name, table in training.policies.items():
            acting[name] = _sampler(training, task, name, table)
        with _leading(learners(training)) as made:
            yield {name: Student(acting[name], made.get(name), one.batch) for name, one in training.policies.items()}
    finally:
        for policy in acting.values():
            if keeps(policy, Closes):
                policy.close()


def learners(training: Training) -> dict[str, Learner]:
    """Load the models that are trained, and return policy -> what makes new weights of its own; its part, of several.

    Raises:
        ConfigError: a device cannot be used, or a setting makes no sense.
        PolicyError: a model cannot be loaded.
    """
    torch.manual_seed(training.settings.seed)
    return {name: _learner(training, name, table) for name, table in training.trained.items()}


def _learner(training: Training, name: str, table: PolicyTable) -> Learner:
    device = device_of(table.device)
    division = _division(device)
    model = _model(table, device)
    reference = tokenizer = None
    if table.train == "full":
        full(model)
        reference = frozen(model, dtype_of("auto", device)) if table.reference else None
        tokenizer = read_tokenizer(table.model or "", place_of(table.checkpoint))
    else:
        model = lora(
            model,
            table.rank,
            alpha=table.alpha,
            dropout=table.dropout,
            targets=table.targets,
            seed=seed("adapter", training.settings.seed, name) % 2**31,
        )
    optimising = training.optimising[name]
    return Learner(model, optimising, reference=reference, division=division, tokenizer=tokenizer)


def _division(device: str) -> Division:
    """Return how a learner's work is divided: among all processes of the training, if there are several."""
    if not dist.is_available() or not dist.is_initialized():
        return Alone()
    from mars2_agents.learners.sharding import Shards

    return Shards("cuda" if device.startswith("cuda") else "cpu")


def _leading(made: Mapping[str, Learner]) -> AbstractContextManager[Mapping[str, Learns]]:
    """Return learners whose calls the other processes of the training make too, if there are any."""
    if not dist.is_available() or not dist.is_initialized():
        return nullcontext(made)
    from mars2_agents.learners.following import lead

    return lead(made)


def _model(table: PolicyTable, device: str) -> Any:
    dtype = "float32" if table.train == "full" and table.dtype == "auto" else table.dtype
    return read_model(table.model or "", place_of(table.checkpoint), dtype=dtype_of(dtype, device)).to(device)


def _sampler(training: Training, task: Task, name: str, table: PolicyTable) -> Policy:
    """Return what acts: the model itself, or what its spec says."""
    reader, key = Reader(training.file), f"policies.{name}"
    if not table.in_process:
        return make_policy(sampler_spec(reader, table, key), problems=task.problems)
    settings = sampling_settings(reader, table, key)
    return TransformersPolicy(_engine(table), settings=settings)


def _engine(table: PolicyTable) -> Engine:
    """Return the engine of a policy: adapters and fixed ones share one over their base, other weights are their own."""
    if table.train != "full":
        return engine(table.checkpoint, dtype=table.dtype, device=table.device)
    device, place, said = device_of(table.device), place_of(table.checkpoint), table.model or ""
    model = read_model(said, place, dtype=dtype_of("auto", device)).to(device)
    return Engine(model, read_tokenizer(said, place), name=table.checkpoint)


def sampler_spec(reader: Reader, table: PolicyTable, key: str) -> str:
    """Return the spec of what acts, with all options in it.

    A vLLM server that is started for an adapter has room for it, where nothing else is said.
    """
    spec = parse_spec(table.sampler or "", "policy")
    options = {name: reader.option(value, f"{key}.sampling.{name}") for name, value in table.sampled.items()}
    if spec.name == "vllm" and table.train == "lora" and "@" not in spec.rest:
        rank = next((rank for rank in VLLM_RANKS if rank >= table.rank), table.rank)
        options = {"max_loras": str(VLLM_ADAPTERS), "max_lora_rank": str(rank), **options}
    spec.options.update(options)
    return write_spec(spec)
