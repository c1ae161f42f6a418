"""The tables of a training's TOML file that `mars2_env.config` does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.spec import parse_spec
from mars2_env.render.metrics import MetricsKind

SAMPLED_WHOLE: Final[Mapping[str, Callable[[float], bool]]] = {
    "temperature": lambda value: value > 0,
    "top_p": lambda value: value == 1,
    "top_k": lambda value: value == 0,
}
"""Option of sampling -> whether what is sampled at a value of it can be learnt from."""


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """`[policies.NAME]`: a model that learns, and what acts with its weights; or a fixed partner of others.

    Attributes:
        model: what is trained: `hf:smollm2`, `hf:FOLDER` or `hf:ORG/NAME`. A fixed partner needs it where it has no
            sampler.
        sampler: the spec of what acts, such as `vllm:FOLDER`; by default the model, sampled in this process.
        sampling: options of what acts, such as temperature and max_new_tokens. Temperature and top_p are 1 where
            nothing is said, and not the defaults of policies: from less than a whole distribution nothing is learnt.
        train: a `lora` adapter, or the `full` model; or `none`: it acts, as any policy may, and never learns. What is
            said of how it learns is then refused, and its sampling has the defaults of its kind.
        rank: of the adapter.
        alpha: of the adapter.
        dropout: of the adapter.
        targets: names of the layers that it is on; `all-linear` for all but the head.
        dtype: of the model that is trained; `auto` is bfloat16 under an adapter on a GPU, else float32.
        device: where it is trained and, in this process, sampled; `auto` is the GPU if there is one.
        reference: whether a frozen copy of the model as it begins is kept, for a KL term. Under an adapter there is no
            need: it is switched off instead.
        batch: the samples of an update; `batch` of [training] by default.
        optimiser: what this policy's learner does otherwise than [optimiser] says.
    """

    model: str | None = None
    sampler: str | None = None
    sampling: dict[str, Any] = field(default_factory=dict)
    train: Literal["lora", "full", "none"] = "lora"
    rank: int = 32
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | list[str] = "all-linear"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    reference: bool = False
    batch: int | None = None
    optimiser: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole_number("rank", self.rank)
        real_number("alpha", self.alpha, above=0)
        real_number("dropout", self.dropout, least=0, most=1)
        if self.batch is not None:
            whole_number("batch", self.batch)

    @property
    def checkpoint(self) -> str:
        """What `model` names: smollm2, a folder, or org/name."""
        return parse_spec(self.model or "", "policy").rest

    @property
    def fixed(self) -> bool:
        """Whether it acts and never learns."""
        return self.train == "none"

    @property
    def in_process(self) -> bool:
        """Whether the model itself is sampled, in this process."""
        return self.sampler is None

    @property
    def sampled(self) -> dict[str, Any]:
        """How it is sampled: what the file says of it, over a temperature and a top_p of 1 of what learns."""
        own = {} if self.sampler is None else parse_spec(self.sampler, "policy").options
        usual = {} if self.fixed else {"temperature": 1.0, "top_p": 1.0}
        return {**usual, **own, **self.sampling}


OF_LEARNING: Final = ("rank", "alpha", "dropout", "targets", "reference", "batch", "optimiser")
"""Keys of [policies.NAME] that say how it learns."""


@dataclass(frozen=True, slots=True)
class AlgorithmTable:
    """`[algorithm]`: a name, and all else are its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunTable:
    """What `[training]` says besides `Settings`.

    Attributes:
        out: the folder of the training; the same command goes on with what is in it.
        metrics: where curves go: `jsonl` always, `tensorboard` and `trackio` by extras.
        threads: of torch; those of the machine by default. Weights repeat bit for bit at one number of them.
    """

    out: str | None = None
    metrics: tuple[MetricsKind, ...] = ("jsonl",)
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            whole_number("threads", self.threads)


@dataclass(frozen=True, slots=True)
class HeldOutTable:
    """`[held_out]`: problems that are evaluated on, and when (`HeldOut`).

    Attributes:
        set: another problem set; with split, path and options as in [problems].
        split: alone, another split of the set that is trained on.
        path: see set.
        options: see set.
        ids: problems of the set that is trained on, which are then not trained on.
        limit: only the first so many.
        every: steps between two evaluations.
        nodes: of a tree.
        at: after how many nodes Pass@1(MCTS) is looked at.
        task: what the task does otherwise, such as { selector = "ab_mcts_a" }.
    """

    set: str | None = None
    split: str | None = None
    path: str | None = None
    options: dict[str, Any] | None = None
    ids: list[str] | None = None
    limit: int | None = None
    every: int | None = None
    nodes: int | None = None
    at: tuple[int, ...] | None = None
    task: dict[str, Any] | None = None
