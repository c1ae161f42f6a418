"""A learner whose model lies with a service that speaks Tinker's protocol; one client a policy.

    service = tinker.ServiceClient()
    learner = begin(service, "Qwen/Qwen3-8B", Optimising(lr=1e-5), rank=32)

The loss is computed here, on log-probabilities, and the service gets its derivative: its cross-entropy is the sum of
-weight * logp over tokens, so that weights of -dL/dlogp have the gradient of any loss. What is exported is an address
of the service, which a policy samples from by a client of its own (`mars2_agents.policies.tinker`). The service scores
at temperature 1 alone.

Source: the Python SDK of Tinker (github.com/thinking-machines-lab/tinker, 0.38): `TrainingClient.forward`,
`forward_backward`, `optim_step`, `save_state`, `save_weights_for_sampler`; `SamplingClient.compute_logprobs`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from mars2_agents.learners.folders import written
from mars2_agents.learners.learner import STATE, Optimising, Update, WeightsRef, check_weights
from mars2_agents.learners.scoring import Tokens, lengths
from mars2_agents.policies.tinker import opened, result, tinker_types
from mars2_env.base.checks import real_number
from mars2_env.errors import ConfigError, LogError

GRAD_NORM: Final = "unclipped_grad_l2:mean"
"""The metric of an optimiser step that holds the norm of the gradient, where the service tells it."""


class Trainer(Protocol):
    """What of a `tinker.TrainingClient` is used. Each method returns a future at once; they are done in order."""

    def forward(self, data: list[Any], loss_fn: Any) -> Any:
        """Score; the result's `loss_fn_outputs` hold `logprobs` of each datum."""
        ...

    def forward_backward(self, data: list[Any], loss_fn: Any) -> Any:
        """Score, and add up the gradient of the loss."""
        ...

    def optim_step(self, adam_params: Any) -> Any:
        """Make an update of what was added up."""
        ...

    def save_state(self, name: str) -> Any:
        """Keep weights and the optimiser's state; the result's `path` says where."""
        ...

    def save_weights_for_sampler(self, name: str) -> Any:
        """Keep weights to sample from; the result's `path` says where."""
        ...


class Scores(Protocol):
    """What of a `tinker.SamplingClient` is used."""

    def compute_logprobs(self, prompt: Any) -> Any:
        """Return a future of the log-probability of each token, None for the first."""
        ...


class Service(Protocol):
    """What of a `tinker.ServiceClient` is used."""

    def create_lora_training_client(self, base_model: str, rank: int = 32, seed: int | None = None) -> Any:
        """Return a client that trains an adapter over a model."""
        ...

    def create_training_client_from_state_with_optimizer(self, path: str) -> Any:
        """Return a client that goes on from what `save_state` kept."""
        ...

    def create_sampling_client(self, model_path: str | None = None, base_model: str | None = None) -> Any:
        """Return a client that samples from a model, and scores with it."""
        ...


class Types(Protocol):
    """What of `tinker.types` is used: the classes of requests."""

    @property
    def Datum(self) -> Any:  # noqa: N802
        """A sequence with what its loss needs."""
        ...

    @property
    def ModelInput(self) -> Any:  # noqa: N802
        """The tokens of a sequence."""
        ...

    @property
    def AdamParams(self) -> Any:  # noqa: N802
        """How a step is made."""
        ...


class TinkerLearner:
    """Trains one policy's model at a service; the interface is that of `Learner`.

    Args:
        client: trains this policy's model, and no other's.
        optimising: how to step; batches, precision and checkpointing are the service's own.
        service: opens a client anew when a state is loaded.
        reference: scores with the reference model, for a KL term.
        context: the most tokens of a sample; None where that is not known.
        types: the classes of requests; by default those of the package `tinker`.
        patience: the most seconds to wait for an answer.

    Attributes:
        version: how many updates were made; the version of the weights.

    Raises:
        ExtraError: the package `tinker` is not installed, and no types are given.
    """

    is_adapter = True

    def __init__(
        self,
        client: Trainer,
        optimising: Optimising | None = None,
        *,
        service: Service | None = None,
        reference: Scores | None = None,
        context: int | None = None,
        types: Types | None = None,
        patience: float = 3600.0,
    ) -> None:
        self.optimising = optimising or Optimising()
        self.context = context
        self.version = 0
        self._client = client
        self._service = service
        self._reference = reference
        self._types = types or tinker_types("TinkerLearner")
        self._patience = real_number("patience", patience, above=0, where="TinkerLearner")
        self._saved: WeightsRef | None = None
        self._exported: WeightsRef | None = None

    def score(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the log-probability of each completion token of each sample.

        Raises:
            ConfigError: the temperature is not 1.
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        _check_temperature(temperature)
        lengths(samples)
        places = [place for place, sample in enumerate(samples) if sample.completion_ids]
        found = [torch.zeros(0) for _ in samples]
        if places:
            data = [self._datum(samples[place], torch.zeros(len(samples[place].completion_ids))) for place in places]
            outputs = self._result(self._client.forward(data, "cross_entropy")).loss_fn_outputs
            for place, output in zip(places, outputs, strict=True):
                found[place] = torch.tensor(output["logprobs"].data)[len(samples[place].prompt_ids) - 1 :]
        return found

    def score_reference(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the same by the reference model.

        Raises:
            ConfigError: there is none, or the temperature is not 1.
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        _check_temperature(temperature)
        lengths(samples)
        if self._reference is None:
            raise ConfigError("TinkerLearner: there is no reference; give a sampling client of the base model.")
        asked = [
            self._reference.compute_logprobs(
                self._types.ModelInput.from_ints([*sample.prompt_ids, *sample.completion_ids])
            )
            for sample in samples
        ]
        told = [self._result(one)[len(sample.prompt_ids) :] for one, sample in zip(asked, samples, strict=True)]
        return [torch.tensor([float("nan") if one is None else one for one in values]) for values in told]

    def backward(self, samples: Sequence[Tokens], weights: Sequence[Tensor], *, temperature: float = 1.0) -> None:
        """Add the gradient of sum(weights * logprobs), which the service keeps until the step.

        Raises:
            ConfigError: the weights do not fit the samples, are not finite, or the temperature is not 1.
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        _check_temperature(temperature)
        check_weights(samples, weights)
        pairs = zip(samples, weights, strict=True)
        data = [self._datum(sample, -weight) for sample, weight in pairs if bool(weight.any())]
        if data:
            self._result(self._client.forward_backward(data, "cross_entropy"))

    def step(self) -> Update:
        """Make an update of what was added up, and return what it came to.

        Raises:
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        settings, rate = self.optimising, self.optimising.rate(self.version)
        beta1, beta2 = settings.betas
        params = self._types.AdamParams(
            learning_rate=rate,
            beta1=beta1,
            beta2=beta2,
            eps=1e-8,  # that of torch, and so of `Learner`; the service's own is 1e-12
            weight_decay=settings.weight_decay,
            grad_clip_norm=settings.grad_norm,
        )
        metrics: Mapping[str, float] = self._result(self._client.optim_step(params)).metrics or {}
        self.version += 1
        return Update(self.version, rate, metrics.get(GRAD_NORM))

    def export(self, folder: str | Path) -> WeightsRef:
        """Have the weights kept to sample from, by the folder's name, and return the service's address of them.

        A version is kept once, whatever folder is asked for next.

        Raises:
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        if self._exported is None or self._exported.version != self.version:
            name = f"{Path(folder).name}-{self.version:08d}"
            kept = self._result(self._client.save_weights_for_sampler(name))
            self._exported = WeightsRef(str(kept.path), self.version, adapter=True)
        return self._exported

    def save(self, folder: str | Path) -> None:
        """Have weights and the optimiser's state kept, and write into the folder where.

        Raises:
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        if self._saved is None or self._saved.version != self.version:
            kept = self._result(self._client.save_state(f"{Path(folder).name}-{self.version:08d}"))
            self._saved = WeightsRef(str(kept.path), self.version, adapter=True)
        told = {"version": self.version, "optimising": asdict(self.optimising), "path": self._saved.path}
        with written(Path(folder)) as build:
            (build / STATE).write_text(json.dumps(told), encoding="utf-8")

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` had kept, by a new client.

        Raises:
            ConfigError: no service was given.
            LogError: the folder says nothing of such a state.
            PolicyUnavailableError: the service does not answer, or with an error.
        """
        if self._service is None:
            raise ConfigError("TinkerLearner.load: a state is opened by a service client; give service=...")
        try:
            told = json.loads((Path(folder) / STATE).read_text(encoding="utf-8"))
            path, version = str(told["path"]), int(told["version"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LogError(f"{folder} says nothing of a state at a service: {error!r}") from None
        self._client = opened(self._service.create_training_client_from_state_with_optimizer(path), self._patience)
        self.version = version
        self._saved, self._exported = WeightsRef(path, version, adapter=True), None

    def _datum(self, sample: Tokens, weights: Tensor) -> Any:
        """Return a sample as the service takes it: each token foretells the next, prompts weigh nothing."""
        whole = [*sample.prompt_ids, *sample.completion_ids]
        before = torch.zeros(len(sample.prompt_ids) - 1)
        return self._types.Datum(
            model_input=self._types.ModelInput.from_ints(whole[:-1]),
            loss_fn_inputs={
                "target_tokens": torch.tensor(whole[1:]),
                "weights": torch.cat([before, weights.detach().cpu().float()]),
            },
        )

    def _result(self, future: Any) -> Any:
        return result(future, self._patience)


def begin(
    service: Service,
    base_model: str,
    optimising: Optimising | None = None,
    *,
    rank: int = 32,
    reference: bool = False,
    types: Types | None = None,
    patience: float = 3600.0,
) -> TinkerLearner:
    """Return a learner of a fresh adapter.

    Args:
        service: such as `tinker.ServiceClient()`.
        base_model: the model's name at the service.
        optimising: how to step; its seed is that of the adapter's first weights too.
        rank: of the adapter.
        reference: whether to score with the base model, for a KL term.
        types: as of `TinkerLearner`.
        patience: as of `TinkerLearner`.
    """
    settings = optimising or Optimising()
    client = service.create_lora_training_client(base_model, rank=rank, seed=settings.seed)
    base = opened(service.create_sampling_client(base_model=base_model), patience) if reference else None
    return TinkerLearner(
        opened(client, patience), settings, service=service, reference=base, types=types, patience=patience
    )


def _check_temperature(temperature: float) -> None:
    if temperature != 1:
        raise ConfigError(
            f"TinkerLearner: temperature={temperature}: the service scores at temperature 1 alone; sample at 1."
        )
