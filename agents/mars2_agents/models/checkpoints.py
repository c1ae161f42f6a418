"""Classifiers of transformers with one output: made from nothing, from a checkpoint, or an adapter over one.

Weights are read from safetensors alone and no code of a checkpoint is ever run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mars2_agents.policies.engine import read_tokenizer
from mars2_agents.policies.smollm2 import checkpoint, offline, without_bars
from mars2_env.base.checks import whole_number
from mars2_env.base.extras import needed_by
from mars2_env.errors import ConfigError, PolicyError

SCRATCH: Final = "scratch"
"""The base that is no checkpoint: a small encoder that begins with random weights."""
WINDOW: Final = 16
"""Tokens that a layer from scratch sees around each one, but for the last, which sees all: slips are local."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A small encoder (ModernBERT, arXiv 2412.13663) whose outputs are averaged, with a tokenizer of its own.

    Attributes:
        hidden: the width; a multiple of 16, the width of a head.
        layers: how many.
        vocabulary: the most tokens of the tokenizer.
    """

    hidden: int = 64
    layers: int = 3
    vocabulary: int = 1024

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "vocabulary"):
            whole_number(name, getattr(self, name), where="Scratch")
        if self.hidden % 16:
            raise ConfigError(f"Scratch(hidden={self.hidden}): must be a multiple of 16, the width of a head.")


def new_classifier(tokenizer: Any, size: Scratch, max_tokens: int, seed: int) -> Any:
    """Return a classifier with random weights; the random state outside is as it was.

    Args:
        tokenizer: the tokenizer, with tokens for padding and both ends.
        size: how large.
        max_tokens: the longest text.
        seed: of the weights.
    """
    from transformers import ModernBertConfig, ModernBertForSequenceClassification

    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=2 * size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.hidden // 16,
        max_position_embeddings=max_tokens,
        layer_types=[*["sliding_attention"] * (size.layers - 1), "full_attention"],
        local_attention=WINDOW,
        classifier_pooling="mean",
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        bos_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ModernBertForSequenceClassification(config)


def read_checkpoint(base: str, *, adapter: Path | None = None, seed: int = 0) -> tuple[Any, Any]:
    """Return a checkpoint as a classifier with one output, in float32 on the CPU, and its tokenizer.

    Args:
        base: `smollm2`, a folder, or `org/name` on the model hub.
        adapter: the folder of an adapter of peft with its head, to be put over it.
        seed: of a head that the checkpoint lacks.

    Raises:
        PolicyError: it cannot be loaded.
    """
    from transformers import AutoModelForSequenceClassification

    place = _place(base)
    tokenizer = read_tokenizer(f"reward model {base!r}", place)
    local = {"local_files_only": True} if isinstance(place, Path) else {}
    try:
        with offline() if isinstance(place, Path) else nullcontext(), without_bars(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = AutoModelForSequenceClassification.from_pretrained(
                str(place), num_labels=1, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, **local
            )
            if adapter is not None:
                from peft import PeftModel

                model = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise PolicyError(f"reward model {base!r} cannot be loaded: {reason}") from error
    model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return model, tokenizer


def with_adapter(model: Any, rank: int, seed: int) -> Any:
    """Return a classifier under a new LoRA adapter on all linear layers; its head is trained whole.

    Args:
        model: the classifier, whose weights are frozen by this.
        rank: of the adapter.
        seed: of its weights.

    Raises:
        ConfigError: peft is not installed.
    """
    with needed_by("a LoRA adapter"):
        from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with without_bars(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def own_weights(model: Any) -> Mapping[str, Tensor]:
    """Return what a folder holds of a classifier's weights: all of them, or an adapter with its head."""
    if not hasattr(model, "peft_config"):
        return model.state_dict()
    from peft import get_peft_model_state_dict

    return get_peft_model_state_dict(model)


def on_device(model: Any, device: str) -> Any:
    """Return a model on a torch device; `auto` is the GPU if there is one.

    Raises:
        ConfigError: there is no such device here.
    """
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return model.to(name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={device!r} is not usable here: {reason}. Use auto, cpu or cuda.") from error


def _place(base: str) -> Path | str:
    if base == "smollm2":
        return checkpoint()
    folder = Path(base).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if base.startswith(("/", ".", "~")) or base.count("/") != 1:
        raise PolicyError(f"{base!r} is no checkpoint folder. Give smollm2, a folder, ORG/NAME or {SCRATCH!r}.")
    return base
