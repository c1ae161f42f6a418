"""How a reward model learns: from examples to a classifier, and from held-out ones to its calibration."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from mars2_agents.models.calibration import Method, calibrated, calibrated_by_status
from mars2_agents.models.checkpoints import SCRATCH, Scratch, new_classifier, on_device, read_checkpoint, with_adapter
from mars2_agents.models.encoding import HEADINGS, Encoder, new_tokenizer, padded
from mars2_agents.models.examples import UNTESTED, Examples
from mars2_agents.models.objectives import batches, pair_groups, pairwise, pointwise
from mars2_agents.models.reward_model import About, LearnedRewardModel, learned_by, scores
from mars2_env.base.checks import one_of, real_number, whole_number
from mars2_env.errors import ConfigError

Objective: TypeAlias = Literal["pairwise", "pointwise"]
Compare: TypeAlias = Literal["all", "tied"]
LOSSES: Final = {"pairwise": pairwise, "pointwise": pointwise}
WARMUP: Final = 0.1
"""The share of the steps in which the learning rate rises."""

Observer: TypeAlias = Callable[[int, int, float], None]
"""Called after each step with its number from 1, how many there are in all, and the loss."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a reward model is trained.

    Attributes:
        objective: `pairwise` (Bradley-Terry within a problem) or `pointwise` (cross-entropy).
        base: `scratch`, or a checkpoint: `smollm2`, a folder, `org/name`.
        scratch: how large, from scratch.
        lora: the rank of an adapter over the checkpoint; 0 trains all of its weights.
        max_tokens: the longest text (`encoding`).
        epochs: how often every example is seen.
        batch: how many programs make a step, about.
        compare: pairwise: `all` programs of a problem, or `tied`: those alone that are alike in whether they pass all
            public tests, which is where a search has nothing else to go by.
        group: pairwise: the most programs of a problem that are compared at a time.
        lr: the highest learning rate (AdamW; rises over a tenth of the steps, falls to 0 by a cosine).
        weight_decay: of AdamW.
        untested: the chance that a text is learned without its public facts: then the program has to be read, and
            not whether tests pass.
        calibration: `platt`, `temperature` or `none`.
        seed: of weights, order and all else that is drawn.
        device: a torch device; `auto` is the GPU if there is one.
    """

    objective: Objective = "pairwise"
    base: str = SCRATCH
    scratch: Scratch = field(default_factory=Scratch)
    lora: int = 0
    max_tokens: int = 256
    epochs: int = 4
    compare: Compare = "all"
    batch: int = 32
    group: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.01
    untested: float = 0.5
    calibration: Method = "platt"
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        one_of("objective", self.objective, get_args(Objective), where="Settings")
        one_of("compare", self.compare, get_args(Compare), where="Settings")
        one_of("calibration", self.calibration, get_args(Method), where="Settings")
        for name, least in (("lora", 0), ("max_tokens", 1), ("epochs", 1), ("batch", 1), ("group", 2), ("seed", 0)):
            whole_number(name, getattr(self, name), least=least, where="Settings")
        object.__setattr__(self, "lr", real_number("lr", self.lr, above=0, where="Settings"))
        for name, most in (("weight_decay", None), ("untested", 1)):
            value = real_number(name, getattr(self, name), least=0, most=most, where="Settings")
            object.__setattr__(self, name, value)
        if self.lora and self.base == SCRATCH:
            raise ConfigError(f"lora={self.lora} with base={SCRATCH!r}: an adapter lies over a checkpoint; give one.")

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        warmup = max(1, round(WARMUP * steps))
        if step < warmup:
            return self.lr * (step + 1) / warmup
        return self.lr * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2


def fit(
    examples: Examples, settings: Settings | None = None, *, observer: Observer | None = None
) -> LearnedRewardModel:
    """Return a reward model that learned from examples; its scores are not calibrated yet.

    Same examples, settings and number of threads on one CPU: same weights.

    Args:
        examples: programs of training problems.
        settings: how.
        observer: called after each step.

    Raises:
        ConfigError: there is nothing to tell apart: no examples, all came out alike, or, pairwise, no problem has
            programs of both kinds; or the loss is not finite.
        PolicyError: the base cannot be loaded.
    """
    settings = settings or Settings()
    _check_kinds(examples, settings)
    model, tokenizer = _begun(examples, settings)
    model = on_device(model, settings.device)
    encoder = Encoder(tokenizer, settings.max_tokens)
    texts = _Texts(examples, encoder)
    draw = np.random.default_rng(settings.seed)
    passed = torch.from_numpy(examples.passed)
    compared = _compared(examples, settings)
    groups = {group: number for number, group in enumerate(dict.fromkeys(compared))}
    number = torch.tensor([groups[group] for group in compared])
    plan = [
        places for _ in range(settings.epochs) for places in _epoch(number.tolist(), examples.passed, settings, draw)
    ]
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=settings.weight_decay)
    device = next(model.parameters()).device
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for step, places in enumerate(plan):
            ids, mask = padded(texts(places, draw.random(len(places)) < settings.untested), encoder.pad_id)
            found = scores(model, ids, mask)
            loss = LOSSES[settings.objective](found, passed[places].to(device), number[places].to(device))
            if not torch.isfinite(loss):
                raise ConfigError(f"the loss of step {step + 1} is {loss.item()}; give a lower lr than {settings.lr}.")
            _step(optimizer, trained, loss, settings.rate(step, len(plan)))
            if observer is not None:
                observer(step + 1, len(plan), float(loss.detach()))
    about = About(
        settings.max_tokens,
        {**learned_by(settings.base), **examples.problems},
        base="" if settings.lora == 0 else settings.base,
        learned={"settings": asdict(settings), "programs": len(examples.rows), "left_out": dict(examples.left_out)},
    )
    return LearnedRewardModel(model, tokenizer, about)


def _check_kinds(examples: Examples, settings: Settings) -> None:
    passed = examples.passed
    if not len(passed):
        raise ConfigError("there are no examples to learn from.")
    if passed.all() or not passed.any():
        raise ConfigError(
            f"all {len(passed)} programs {'passed' if passed.all() else 'failed'} the hidden tests, so that there is "
            "nothing to tell apart; give runs with programs of both kinds."
        )
    if settings.objective == "pointwise":
        return
    kinds: dict[Hashable, set[bool]] = {}
    for row, group in zip(examples.rows, _compared(examples, settings), strict=True):
        kinds.setdefault(group, set()).add(row.passed)
    if all(len(found) == 1 for found in kinds.values()):
        more = ", compare='all'" if settings.compare == "tied" else ""
        raise ConfigError(
            f"compare={settings.compare!r}: in none of {len(examples.problems)} problems are there programs to compare "
            f"of which some passed and some failed, so that there are no pairs; give more trees a problem{more}, or "
            "objective='pointwise'."
        )


def _compared(examples: Examples, settings: Settings) -> list[Hashable]:
    """Return of each example what it has in common with those that it is compared with."""
    return [(row.problem, settings.compare == "tied" and row.public) for row in examples.rows]


def _begun(examples: Examples, settings: Settings) -> tuple[Any, Any]:
    """Return the classifier to begin with, and its tokenizer."""
    if settings.base == SCRATCH:
        texts = [text for row in examples.rows for text in (row.statement, row.facts, row.program)]
        tokenizer = new_tokenizer([*dict.fromkeys(texts), *HEADINGS, UNTESTED], settings.scratch.vocabulary)
        return new_classifier(tokenizer, settings.scratch, settings.max_tokens, settings.seed), tokenizer
    model, tokenizer = read_checkpoint(settings.base, seed=settings.seed)
    most = getattr(model.config, "max_position_embeddings", None)
    if most is not None and settings.max_tokens > most:
        raise ConfigError(f"max_tokens={settings.max_tokens}: {settings.base!r} takes at most {most}.")
    return with_adapter(model, settings.lora, settings.seed) if settings.lora else model, tokenizer


class _Texts:
    """The tokens of examples, each part made once."""

    def __init__(self, examples: Examples, encoder: Encoder) -> None:
        self._encoder = encoder
        self._untested = encoder.ids(UNTESTED)
        statements = {row.problem: encoder.ids(row.statement) for row in examples.rows}
        self._parts = [
            (statements[row.problem], encoder.ids(row.facts), encoder.ids(row.program)) for row in examples.rows
        ]

    def __call__(self, places: Sequence[int], untested: Iterable[bool]) -> list[list[int]]:
        """Return the texts of examples, without their facts where `untested` says so."""
        found = []
        for place, bare in zip(places, untested, strict=True):
            statement, facts, program = self._parts[place]
            found.append(self._encoder.joined(statement, self._untested if bare else facts, program))
        return found


def _epoch(
    compared: Sequence[int], passed: np.ndarray, settings: Settings, draw: np.random.Generator
) -> list[list[int]]:
    """Return the places of the examples of each step of an epoch."""
    if settings.objective == "pairwise":
        groups = pair_groups(compared, passed, settings.group, draw)
    else:
        groups = [[int(place)] for place in draw.permutation(len(compared))]
    return batches(groups, settings.batch)


def _step(optimizer: Any, trained: Sequence[Tensor], loss: Tensor, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


def raw_scores(model: LearnedRewardModel, examples: Examples, *, untested: bool = False) -> np.ndarray:
    """Return the model's raw score of each example, with its facts or as if nobody had run a test, shape (rows,)."""
    texts = _Texts(examples, model.encoder)
    return model.raw(texts(range(len(examples.rows)), [untested] * len(examples.rows)))


def calibrate(model: LearnedRewardModel, held_out: Examples, method: Method = "platt") -> LearnedRewardModel:
    """Return the model with probabilities for scores, by problems that it did not train on; it then refuses these too.

    Raises:
        ConfigError: it was trained on one of them, or they do not have programs of both kinds.
    """
    check_fresh(model, held_out, "calibrated")
    found = calibrated_by_status(raw_scores(model, held_out), held_out.passed, held_out.statuses, method)
    if method == "platt":
        found["untested"] = calibrated(raw_scores(model, held_out, untested=True), held_out.passed, method)
    return model.told(calibration=found, problems={**model.about.problems, **held_out.problems})


def check_fresh(model: LearnedRewardModel, held_out: Examples, how: str) -> None:
    """Check that there are examples, and none of a problem that the model learned from.

    Args:
        model: the model.
        held_out: the examples.
        how: what is to be done to the model by them, for the message.

    Raises:
        ConfigError: there are none, or it did.
    """
    if not held_out.rows:
        raise ConfigError(f"there are no held-out examples, so that nothing can be {how}.")
    known = [id for id in held_out.problems if id in model.about.problems]
    if known:
        raise ConfigError(
            f"{model!r} learned from problem {known[0]!r}, and is {how} on problems that it did not learn from; keep "
            f"{len(known)} problem(s) out of one or the other."
        )
