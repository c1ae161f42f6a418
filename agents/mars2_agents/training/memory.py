"""How much memory training a decoder takes, by formulas over its shape: before anything large is loaded.

Per policy: h hidden, L layers, i intermediate, H = heads * head_dim, K = kv_heads * head_dim, V vocabulary, T tokens of
a row, b bytes of an element (2 for bfloat16, 4 for float32). What a layer keeps for its backward pass was read off the
autograd graph of transformers' Llama with sdpa: two norms, of each its input in float32, what it made of that, and what
it gave; queries and what attention gave; keys and values; of the MLP gate, activation, up and their product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from mars2_env.base.checks import one_of, whole_number
from mars2_env.errors import ConfigError

GIB: Final = 2**30
BYTES: Final[Mapping[str, int]] = {"float32": 4, "bfloat16": 2, "float16": 2}
FLOAT32: Final = 4

Phase: TypeAlias = Literal["always", "update", "rollout", "sync"]
Train: TypeAlias = Literal["full", "lora", "none"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder as transformers' Llama and Qwen have it: gated MLP, grouped attention, RMS norms.

    Attributes:
        hidden: width of the residual stream.
        layers: how many.
        intermediate: width of the MLP.
        heads: of queries.
        kv_heads: of keys and values.
        head_dim: width of a head.
        vocab: how many tokens there are.
        tied: whether the head is the embedding.
    """

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool = False

    @property
    def queries(self) -> int:
        """H, the width of all queries."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """K, the width of all keys, and of all values."""
        return self.kv_heads * self.head_dim

    @property
    def linears(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each linear layer of a decoder layer: q, k, v, o, gate, up, down."""
        h, i, q, kv = self.hidden, self.intermediate, self.queries, self.keys
        return ((h, q), (h, kv), (h, kv), (q, h), (h, i), (h, i), (i, h))

    @property
    def layer(self) -> int:
        """Parameters of a layer."""
        return sum(rows * columns for rows, columns in self.linears) + 2 * self.hidden

    @property
    def outer(self) -> int:
        """Parameters outside the layers: the embedding, the head if it is another, the last norm."""
        return self.vocab * self.hidden * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters, but for biases and norms of heads, which are less than a thousandth."""
        return self.layers * self.layer + self.outer


SHAPES: Final[Mapping[str, Shape]] = {
    "SmolLM2-135M": Shape(576, 30, 1536, 9, 3, 64, 49_152, tied=True),
    "Qwen3-8B": Shape(4096, 36, 12_288, 32, 8, 128, 151_936),
    "Qwen3-14B": Shape(5120, 40, 17_408, 40, 8, 128, 151_936),
    "Qwen3-32B": Shape(5120, 64, 25_600, 64, 8, 128, 151_936),
    "AReaL-boba-2-8B": Shape(4096, 36, 12_288, 32, 8, 128, 151_936),
    "AReaL-boba-2-14B": Shape(5120, 40, 17_408, 40, 8, 128, 151_936),
}
"""Shapes of checkpoints that need not be here to be reckoned with, from their published `config.json`."""


def shape_of(config: Any) -> Shape:
    """Return the shape of a configuration of transformers.

    Raises:
        ConfigError: it is of no decoder of this kind, such as a mixture of experts.
    """
    kind = getattr(config, "model_type", type(config).__name__)
    if any(getattr(config, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise ConfigError(f"{kind} is a mixture of experts, whose memory is not estimated.")
    try:
        heads = int(config.num_attention_heads)
        return Shape(
            hidden=int(config.hidden_size),
            layers=int(config.num_hidden_layers),
            intermediate=int(config.intermediate_size),
            heads=heads,
            kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
            vocab=int(config.vocab_size),
            tied=bool(getattr(config, "tie_word_embeddings", False)),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"the memory of {kind!r} is not estimated: its configuration has {error}.") from None


def lora_parameters(shape: Shape, rank: int) -> int:
    """Return the parameters of LoRA on all linear layers: rank (in + out) of each (arXiv 2106.09685)."""
    return shape.layers * sum(rank * (rows + columns) for rows, columns in shape.linears)


def checkpointed(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes of the layers' inputs, kept where all else is made anew in the backward pass: b h L T."""
    return element * shape.hidden * shape.layers * tokens


def kept_by_layer(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes that a layer keeps for its backward pass: (2 (4 + 2 b) h + 2 b H + 2 b K + 4 b i) T."""
    norms = 2 * (FLOAT32 + 2 * element) * shape.hidden
    return (norms + element * (2 * shape.queries + 2 * shape.keys + 4 * shape.intermediate)) * tokens


def kept_under_autocast(shape: Shape, tokens: int) -> int:
    """Return the same of a float32 model whose products are in bfloat16: (34 h + 6 H + 6 K + 8 i) T.

    The residual stream and the norms are float32, of which each of the five products that take one has a copy.
    """
    return (34 * shape.hidden + 6 * shape.queries + 6 * shape.keys + 8 * shape.intermediate) * tokens


def inputs_of_adapters(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes of a layer's inputs in the precision of adapters, where that is another: b (5 h + H + i) T."""
    return element * (5 * shape.hidden + shape.queries + shape.intermediate) * tokens


def on_their_way(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes of gradients of a layer at work: b (h + H + K) T."""
    return element * (shape.hidden + shape.queries + shape.keys) * tokens


def in_flight(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes of a layer at work: what it keeps, and gradients on their way.

    In bfloat16 that is (18 h + 6 H + 6 K + 8 i) T.
    """
    return kept_by_layer(shape, tokens, element) + on_their_way(shape, tokens, element)


def mask_of_row(shape: Shape, tokens: int, element: int, *, checkpointing: bool) -> int:
    """Return bytes of the attention masks of a row of several samples: b T^2 of each layer that is kept.

    A row of one sample needs none: there attention is causal, and no mask is made.
    """
    return element * tokens**2 * (1 if checkpointing else shape.layers)


def logits(shape: Shape, chunk: int) -> int:
    """Return bytes of a chunk's logits and their gradient, in float32: 8 chunk V."""
    return 2 * FLOAT32 * chunk * shape.vocab


def kv_cache(shape: Shape, tokens: int, element: int) -> int:
    """Return bytes of the keys and values of a sequence: 2 b L K T; in bfloat16 4 L K T."""
    return 2 * element * shape.layers * shape.keys * tokens


def gathered(shape: Shape, element: int) -> int:
    """Return bytes that a sharded model has whole at a time: what is outside its layers, and two layers of them."""
    return element * (shape.outer + 2 * shape.layer)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the memory of a policy: what it is, how many bytes, and when it is there."""

    name: str
    bytes: int
    when: Phase = "always"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a policy is to do, as far as memory goes.

    Attributes:
        shape: of its model.
        train: `full` fine-tuning, a `lora` adapter, or `none`.
        dtype: of the learner's model.
        precision: what products of matrices are computed in.
        rank: of the adapter.
        reference: whether a frozen model of its own is kept to score with; an adapter is switched off instead.
        checkpointing: whether layers are made anew in the backward pass.
        row: tokens of the longest row of a backward pass.
        packed: whether such a row holds several samples.
        chunk: tokens whose logits exist at a time.
        sampler_dtype: of what the sampler has in this process; None where it is another program.
        own_sampler: whether that holds weights of its own, and does not share a base with another policy.
        sequences: how many replies are written at a time.
        context: tokens of such a reply and its prompt.
        gpus: over how many the learner is sharded; what follows is of one of them.
    """

    shape: Shape
    train: Train = "full"
    dtype: str = "float32"
    precision: str = "float32"
    rank: int = 32
    reference: bool = False
    checkpointing: bool = True
    row: int = 8192
    packed: bool = False
    chunk: int = 1024
    sampler_dtype: str | None = None
    own_sampler: bool = True
    sequences: int = 1
    context: int = 0
    gpus: int = 1

    @property
    def autocast(self) -> bool:
        """Whether weights in float32 are multiplied in bfloat16, a copy of them at a time."""
        return self.gpus == 1 and self.dtype == "float32" and self.precision == "bfloat16"

    def __post_init__(self) -> None:
        one_of("train", self.train, ("full", "lora", "none"), where="Demand")
        one_of("dtype", self.dtype, BYTES, where="Demand")
        one_of("precision", self.precision, BYTES, where="Demand")
        for name in ("rank", "row", "chunk", "sequences", "gpus"):
            whole_number(name, getattr(self, name), where="Demand")


def parts(demand: Demand) -> tuple[Part, ...]:
    """Return the memory of a policy, part by part.

    Full fine-tuning in float32 has 16 bytes a parameter: weights, gradients and the two moments of Adam. In a half
    precision all four are kept in it. An adapter is float32 over a base of whatever precision. Sharded, forward and
    backward passes are in bfloat16 and the rest as it is (`fully_shard` with mixed precision).
    """
    shape, element = demand.shape, BYTES[demand.dtype]
    found = _learner_parts(demand, shape, element) if demand.train != "none" else []
    if demand.sampler_dtype is not None:
        own = BYTES[demand.sampler_dtype]
        found.append(Part("sampler's weights", own * shape.parameters if demand.own_sampler else 0))
        found.append(Part("KV cache", demand.sequences * kv_cache(shape, demand.context, own), "rollout"))
        if demand.train != "none":
            fresh = shape.parameters * own if demand.train == "full" else lora_parameters(shape, demand.rank) * FLOAT32
            found.append(Part("new weights on their way", fresh, "sync"))
    return tuple(part for part in found if part.bytes)


def _learner_parts(demand: Demand, shape: Shape, element: int) -> list[Part]:
    adapter, sharded = demand.train == "lora", demand.gpus > 1
    trained = lora_parameters(shape, demand.rank) if adapter else shape.parameters
    own = FLOAT32 if adapter else element
    frozen = BYTES["bfloat16"] if sharded else element
    whole = (
        Part("trained weights", own * trained),
        Part("gradients", own * trained, "update"),
        Part("optimiser", 2 * own * trained),
        Part("base", frozen * shape.parameters if adapter else 0),
        Part("reference", frozen * shape.parameters if demand.reference and not adapter else 0),
    )
    found = [Part(part.name, -(-part.bytes // demand.gpus), part.when) for part in whole]
    found.append(Part("activations", _activations(demand, frozen), "update"))
    if demand.autocast:
        found.append(Part("weights in bfloat16", BYTES["bfloat16"] * shape.parameters, "update"))
    if demand.packed:
        masks = mask_of_row(shape, demand.row, BYTES[demand.precision], checkpointing=demand.checkpointing)
        found.append(Part("attention masks", masks, "update"))
    found.append(Part("logits", logits(shape, min(demand.chunk, demand.row)), "update"))
    if sharded:
        found.append(Part("gathered weights", gathered(shape, frozen), "update"))
    return found


def _activations(demand: Demand, element: int) -> int:
    """Return bytes of what a forward pass keeps, and of its layer at work."""
    shape, tokens = demand.shape, demand.row
    layer = kept_under_autocast(shape, tokens) if demand.autocast else kept_by_layer(shape, tokens, element)
    if demand.train == "lora" and element != FLOAT32 and demand.gpus == 1:
        layer += inputs_of_adapters(shape, tokens, BYTES[demand.precision])
    moving = on_their_way(shape, tokens, element)
    if demand.checkpointing:
        return checkpointed(shape, tokens, element) + layer + moving
    return shape.layers * layer + moving


def peak(policies: Sequence[Sequence[Part]]) -> int:
    """Return the most bytes at a time: what always is, and the largest phase; policies learn one after the other."""
    always = sum(part.bytes for found in policies for part in found if part.when == "always")
    updates = max((_sum(found, "update") for found in policies), default=0)
    rollouts = sum(_sum(found, "rollout") for found in policies)
    syncs = max((_sum(found, "sync") for found in policies), default=0)
    return always + max(updates, rollouts, syncs)


def _sum(found: Sequence[Part], when: Phase) -> int:
    return sum(part.bytes for part in found if part.when == when)
