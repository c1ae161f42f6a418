"""A learner: scores samples, takes weights on their log-probabilities, makes a step, exports and keeps what it has.

Nothing but samples comes in and nothing but a `WeightsRef` goes out: policies load it by themselves. One process or
several: what they share out among them is a `Division`'s business, and every one of them calls the same methods alike.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mars2_agents.learners.division import Alone, Division
from mars2_agents.learners.folders import written
from mars2_agents.learners.scoring import Scorer, Tokens, base_of, lengths
from mars2_env.base.checks import flag, one_of, real_number, whole_number
from mars2_env.errors import ConfigError, LogError

STATE: Final = "learner.json"
WEIGHTS: Final = "weights.safetensors"
MOMENTS: Final = "moments.safetensors"

MOMENT_KEYS: Final = ("exp_avg", "exp_avg_sq")

Precision: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class WeightsRef:
    """Where weights lie, and which version they are: all that passes from a learner to policies.

    `path` is a checkpoint folder of transformers, or one of a peft adapter where `adapter` is true.
    """

    path: str
    version: int
    adapter: bool = False


@dataclass(frozen=True, slots=True)
class Optimising:
    """How a learner steps (AdamW).

    Attributes:
        lr: the learning rate after the warm-up.
        warmup: updates in which it rises to that.
        decay_updates: updates after which it has fallen to `lr * floor` by a cosine; None for no fall.
        floor: the least share of the learning rate.
        betas: of AdamW.
        weight_decay: of AdamW.
        grad_norm: the largest norm of a gradient.
        tokens: the most tokens of a forward pass; a longer sample goes alone.
        checkpointing: whether activations are computed again in the backward pass, layer by layer, and not kept.
        precision: what products of matrices are computed in; weights, their gradients and moments stay as they are.
        seed: of dropout, which is another with every update and the same after a resume.
    """

    lr: float = 1e-6
    warmup: int = 0
    decay_updates: int | None = None
    floor: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    grad_norm: float = 1.0
    tokens: int = 8192
    checkpointing: bool = False
    precision: Precision = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", real_number("lr", self.lr, above=0, where="Optimising"))
        whole_number("warmup", self.warmup, least=0, where="Optimising")
        if self.decay_updates is not None:
            whole_number("decay_updates", self.decay_updates, where="Optimising")
        object.__setattr__(self, "floor", real_number("floor", self.floor, least=0, most=1, where="Optimising"))
        object.__setattr__(
            self, "weight_decay", real_number("weight_decay", self.weight_decay, least=0, where="Optimising")
        )
        object.__setattr__(self, "grad_norm", real_number("grad_norm", self.grad_norm, above=0, where="Optimising"))
        whole_number("tokens", self.tokens, where="Optimising")
        flag("checkpointing", self.checkpointing, where="Optimising")
        one_of("precision", self.precision, get_args(Precision), where="Optimising")
        whole_number("seed", self.seed, least=0, where="Optimising")
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ConfigError(f"Optimising(betas={self.betas!r:.200}): give two numbers, such as (0.9, 0.999).")
        betas = (real_number("betas", beta, least=0, most=1, where="Optimising") for beta in self.betas)
        object.__setattr__(self, "betas", tuple(betas))

    def rate(self, update: int) -> float:
        """Return the learning rate of an update, counted from 0."""
        if update < self.warmup:
            return self.lr * (update + 1) / self.warmup
        if self.decay_updates is None:
            return self.lr
        passed = min(1.0, (update - self.warmup) / max(1, self.decay_updates - self.warmup))
        return self.lr * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * passed)) / 2)


@dataclass(frozen=True, slots=True)
class Update:
    """What an update came to: its number, the learning rate, and the norm of the gradient before it was cut.

    The norm is None where whoever made the update does not tell it.
    """

    update: int
    lr: float
    grad_norm: float | None


class Learner:
    """Trains one policy's model, all of its weights or a LoRA adapter of peft.

    Args:
        model: a causal language model of transformers, or a peft model; what requires a gradient is trained.
        optimising: how to step.
        reference: a model to score with, for a KL term, which is frozen; by default, of a peft model the base without
            adapter.
        division: how the work is divided among processes; by default this one does everything.
        tokenizer: that of the model, written beside exported weights, which policies then load by their folder alone;
            an adapter needs none, its base has one.

    Attributes:
        version: how many updates were made; the version of the weights.

    Raises:
        ConfigError: nothing in the model requires a gradient.
    """

    def __init__(
        self,
        model: Any,
        optimising: Optimising | None = None,
        *,
        reference: Any = None,
        division: Division | None = None,
        tokenizer: Any = None,
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self.optimising = optimising or Optimising()
        self.division = division or Alone()
        self.version = 0
        self._scorer = Scorer(model)
        self._reference = None if reference is None else Scorer(reference.requires_grad_(False))
        if self.optimising.checkpointing:
            _checkpoint(model)
        for scorer in (self._scorer, self._reference):
            if scorer is not None:
                self.division.spread(scorer)
        self._trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
        if not self._trained:
            raise ConfigError("Learner: no parameter of the model requires a gradient, so there is nothing to train.")
        self._optimizer = torch.optim.AdamW(
            self._trained.values(),
            lr=self.optimising.lr,
            betas=self.optimising.betas,
            weight_decay=self.optimising.weight_decay,
        )
        self._added = 0  # calls of backward since the last step: each has draws of its own

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter is trained, and not the model itself."""
        return hasattr(self.model, "disable_adapter")

    @property
    def context(self) -> int | None:
        """The most tokens of a sample that the model has positions for; None where its config names no limit."""
        found = getattr(base_of(self.model).config, "max_position_embeddings", None)
        return None if found is None else int(found)

    def score(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the log-probability of each completion token of each sample, without a gradient.

        Args:
            samples: what to score.
            temperature: that of sampling, above 0.
        """
        return self._scored(self._scorer, samples, temperature)

    def score_reference(self, samples: Sequence[Tokens], *, temperature: float = 1.0) -> list[Tensor]:
        """Return the same by the reference model; of a peft model without one, by the base with the adapter off.

        Raises:
            ConfigError: there is no reference.
        """
        if self._reference is not None:
            return self._scored(self._reference, samples, temperature)
        if not self.is_adapter:
            raise ConfigError("Learner: there is no reference model; give reference=..., or leave out the KL term.")
        off: AbstractContextManager[Any] = self.model.disable_adapter()
        with off:
            return self._scored(self._scorer, samples, temperature)

    def _scored(self, scorer: Scorer, samples: Sequence[Tokens], temperature: float) -> list[Tensor]:
        found: dict[int, Tensor] = {}
        with torch.no_grad(), _mode(scorer.model, training=False), self._computing():
            for row in self.division.rows(lengths(samples), self.optimising.tokens):
                values = scorer([samples[place] for place in row.places], temperature)
                if row.counts:
                    found.update(zip(row.places, values, strict=True))
        return self.division.gathered(found, [len(sample.completion_ids) for sample in samples])

    def backward(self, samples: Sequence[Tokens], weights: Sequence[Tensor], *, temperature: float = 1.0) -> None:
        """Add the gradient of sum(weights * logprobs): of a loss, where weights are its dL/dlogp over the batch.

        Args:
            samples: the batch, or a part of it; parts add up.
            weights: of each sample, one number a completion token; 0 where nothing is trained.
            temperature: that of sampling, as given to `score`.

        Raises:
            ConfigError: the weights do not fit the samples, or are not finite.
        """
        check_weights(samples, weights)
        used = [place for place, weight in enumerate(weights) if bool(weight.any())]
        chosen = [samples[place] for place in used]
        with _mode(self.model, training=True), self._drawing():
            for row in self.division.rows(lengths(chosen), self.optimising.tokens):
                with self._computing():
                    found = self._scorer([chosen[place] for place in row.places], temperature)
                factor = self.division.factor if row.counts else 0.0
                pairs = zip(row.places, found, strict=True)
                total = sum((weights[used[place]].to(logp) * logp).sum() for place, logp in pairs) * factor
                assert isinstance(total, Tensor)
                total.backward()

    def _computing(self) -> AbstractContextManager[Any]:
        """Compute in the precision that was asked for."""
        if self.optimising.precision == "float32":
            return nullcontext()
        found: AbstractContextManager[Any] = torch.autocast(self._device.type, torch.bfloat16)
        return found

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Draw dropout from a stream that belongs to this call of this update, and leave all others as they are."""
        words = np.random.SeedSequence([self.optimising.seed, self.version, self._added, self.division.rank])
        self._added += 1
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(int(words.generate_state(1, np.uint64)[0] >> np.uint64(1)))
            yield

    @property
    def _device(self) -> Any:
        return next(iter(self._trained.values())).device

    def step(self) -> Update:
        """Make an update of what was added up, and return what it came to.

        Raises:
            ConfigError: the gradient is not finite; nothing has changed, and the gradient is gone.
        """
        rate = self.optimising.rate(self.version)
        found = torch.nn.utils.clip_grad_norm_(list(self._trained.values()), self.optimising.grad_norm)
        norm = float(self.division.whole(found))
        self._added = 0
        if not math.isfinite(norm):
            self._optimizer.zero_grad(set_to_none=True)
            raise ConfigError(f"Learner.step: the gradient's norm is {norm}; the batch was dropped.")
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.version += 1
        return Update(self.version, rate, norm)

    def export(self, folder: str | Path) -> WeightsRef:
        """Write the weights as a checkpoint (safetensors) that policies load, and return where; atomic."""
        target = Path(folder)
        # The adapter's own weights suffice peft; and it is not to ask a hub whether the vocabulary has grown.
        named, options = (self._trained, {"save_embedding_layers": False}) if self.is_adapter else (None, {})
        weights = self._wholes((self.model.state_dict() if named is None else named).items())

        def write() -> None:
            with written(target) as build, _no_bars():
                self.model.save_pretrained(build, state_dict=weights, **options)
                if self._tokenizer is not None and not self.is_adapter:
                    self._tokenizer.save_pretrained(build)

        self.division.by_one(write)
        return WeightsRef(str(target), self.version, self.is_adapter)

    def save(self, folder: str | Path) -> None:
        """Write all that training goes on from: trained weights, the optimiser's moments, the version; atomic.

        What was added up since the last step is no part of it: a batch that was not stepped is learnt again.
        """
        states = {name: self._optimizer.state.get(one, {}) for name, one in self._trained.items()}
        weights = self._wholes(self._trained.items())
        moments = self._wholes(
            (f"{name}/{key}", state[key]) for name, state in states.items() for key in MOMENT_KEYS if key in state
        )
        steps = {name: float(state["step"]) for name, state in states.items() if "step" in state}
        told = {"version": self.version, "optimising": asdict(self.optimising), "steps": steps}

        def write() -> None:
            with written(Path(folder)) as build:
                save_file(weights, build / WEIGHTS)
                save_file(moments, build / MOMENTS)
                (build / STATE).write_text(json.dumps(told), encoding="utf-8")

        self.division.by_one(write)

    def _wholes(self, named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """Return tensors whole, on the CPU; process 0 alone keeps them."""
        found: dict[str, Tensor] = {}
        for name, one in named:
            whole = self.division.whole(one.detach())
            if self.division.rank == 0:
                found[name] = whole.cpu().contiguous()
        return found

    def load(self, folder: str | Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            LogError: the folder holds no such state, or one of another model.
        """
        place = Path(folder)
        try:
            state = json.loads((place / STATE).read_text(encoding="utf-8"))
            version, steps = int(state["version"]), dict(state["steps"])
            weights, moments = load_file(place / WEIGHTS), load_file(place / MOMENTS)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise LogError(f"{place} holds no state of a learner: {error!r}") from None
        _check_same(weights, self._trained, place)
        stepped = {name: one for name, one in self._trained.items() if name in steps}
        _check_same(moments, {f"{name}/{key}": one for name, one in stepped.items() for key in MOMENT_KEYS}, place)
        for name, parameter in self._trained.items():
            with torch.no_grad():
                parameter.copy_(self.division.placed(weights[name], parameter))
            self._optimizer.state.pop(parameter, None)
            if name in stepped:
                kept = {key: self.division.placed(moments[f"{name}/{key}"], parameter) for key in MOMENT_KEYS}
                self._optimizer.state[parameter] = {"step": torch.tensor(steps[name]), **kept}
        self._optimizer.zero_grad(set_to_none=True)
        self.version = version


def check_weights(samples: Sequence[Tokens], weights: Sequence[Tensor]) -> None:
    """Check that there is one finite weight for each completion token of each sample.

    Raises:
        ConfigError: there is not.
    """
    if len(weights) != len(samples):
        raise ConfigError(f"backward: {len(weights)} weights for {len(samples)} samples; one each.")
    for place, (sample, weight) in enumerate(zip(samples, weights, strict=True)):
        if weight.shape != (len(sample.completion_ids),) or not torch.isfinite(weight).all():
            raise ConfigError(
                f"backward: the weights of sample {place} have shape {tuple(weight.shape)} for "
                f"{len(sample.completion_ids)} completion tokens, or are not finite."
            )


def _check_same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], place: Path) -> None:
    if found.keys() != wanted.keys():
        name = min(found.keys() ^ wanted.keys())
        raise LogError(f"{place} is of another model: {name!r} is trained in one of them alone.")
    for name, one in wanted.items():
        if found[name].shape != one.shape:
            raise LogError(
                f"{place} is of another model: {name!r} is {tuple(found[name].shape)}, not {tuple(one.shape)}."
            )


def _checkpoint(model: Any) -> None:
    """Have a model of transformers compute activations again in the backward pass; older versions name it otherwise."""
    again = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=again)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=again)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for every export."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _mode(module: Any, *, training: bool) -> Iterator[None]:
    """Switch dropout on or off inside the block."""
    was = module.training
    module.train(training)
    try:
        yield
    finally:
        module.train(was)
