"""What of a model is trained: all of its weights, or a low-rank adapter over all of its linear layers.

LoRA (arXiv 2106.09685): a layer with frozen weights W gets alpha / rank * B A besides, with A (rank, inputs) random and
B (outputs, rank) zero, so that the policy starts as the base is. Adapter weights are float32 whatever the base's are.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.extras import needed_by
from mars2_env.errors import ConfigError


def lora(
    model: Any,
    rank: int = 32,
    *,
    alpha: float = 32.0,
    dropout: float = 0.0,
    targets: str | Sequence[str] = "all-linear",
    seed: int = 0,
) -> Any:
    """Return a peft model around a causal language model: its weights frozen, an adapter trained.

    Args:
        model: of transformers; it is changed in place.
        rank: of the adapter's matrices.
        alpha: what the adapter's product is multiplied with, times rank.
        dropout: the share of a layer's inputs that the adapter does not see in a backward pass.
        targets: names of layers, or `all-linear` for all but the head.
        seed: of the adapter's first weights.

    Raises:
        ExtraError: peft is not installed.
        ConfigError: a setting makes no sense, the model has an adapter already, or no layer of the names.
    """
    with needed_by("lora"):
        import peft
    whole_number("rank", rank, where="lora")
    real_number("alpha", alpha, above=0, where="lora")
    real_number("dropout", dropout, least=0, most=1, where="lora")
    whole_number("seed", seed, least=0, where="lora")
    if _adapted(model):
        raise ConfigError("lora: the model has an adapter already; give the model of transformers inside it.")
    names = targets if isinstance(targets, str) else list(targets)
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names, bias="none", task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(model, config)
        except ValueError as error:
            raise ConfigError(f"lora(targets={targets!r:.200}): {error}") from None


def full(model: Any) -> Any:
    """Return a causal language model of which every weight is trained; the same object.

    Raises:
        ConfigError: the model has an adapter, or weights that are not float32.
    """
    if _adapted(model):
        raise ConfigError("full: the model has an adapter; merge it first (merge_and_unload), or train it (lora).")
    found = {str(one.dtype).removeprefix("torch.") for one in model.parameters() if one.dtype != torch.float32}
    if found:
        raise ConfigError(
            f"full: the model has weights in {', '.join(sorted(found))}, where small steps are lost; load it in "
            "float32, and compute in bfloat16 by Optimising(precision='bfloat16')."
        )
    model.requires_grad_(True)
    return model


def frozen(model: Any, dtype: Any = None) -> Any:
    """Return a copy of a model that is not trained: the reference of a KL term, made before the first update.

    Args:
        model: of transformers.
        dtype: of the copy's weights, such as `torch.bfloat16`; the model's own by default.
    """
    found = copy.deepcopy(model).requires_grad_(False)
    return found if dtype is None else found.to(dtype)


def _adapted(model: Any) -> bool:
    return hasattr(model, "get_base_model") or bool(getattr(model, "peft_config", None))
