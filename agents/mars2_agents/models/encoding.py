"""The text that a reward model reads of a program, as tokens: the problem, what public tests found, the program.

Where it is longer than there is room for, what goes first is the end of the statement, then the end of the facts, and
only then the middle of the program: what is scored stays whole as long as it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from mars2_env.base.checks import whole_number
from mars2_env.errors import ConfigError

HEADINGS: Final = ("Problem:\n", "\n\nPublic tests: ", "\n\nProgram:\n")
CLS: Final = "[CLS]"
SEP: Final = "[SEP]"
PAD: Final = "[PAD]"


class Encoder:
    """Makes tokens of a problem, what public tests found, and a program.

    Args:
        tokenizer: of transformers.
        max_tokens: the most tokens of a text, headings and ends included.

    Attributes:
        pad_id: the token that fills the rows of a batch.
        room: how many tokens are left for what the headings announce.

    Raises:
        ConfigError: there is no room for anything.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self.tokenizer = tokenizer
        self.max_tokens = whole_number("max_tokens", max_tokens, where="Encoder")
        self.pad_id = next(iter(_known(tokenizer.pad_token_id, tokenizer.eos_token_id)), 0)
        self._first = _known(tokenizer.cls_token_id, tokenizer.bos_token_id)
        self._last = _known(tokenizer.sep_token_id, tokenizer.eos_token_id)
        self._headings = [self.ids(heading) for heading in HEADINGS]
        around = sum(map(len, (self._first, self._last, *self._headings)))
        self.room = max_tokens - around
        if self.room < 1:
            raise ConfigError(f"max_tokens={max_tokens}: headings and ends alone take {around}; give more.")

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text, without any that the tokenizer would put around it."""
        return list(self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def joined(self, statement: Sequence[int], facts: Sequence[int], program: Sequence[int]) -> list[int]:
        """Return the tokens of a whole text from those of its parts."""
        parts = fitted(statement, facts, program, self.room)
        headed = [one for heading, part in zip(self._headings, parts, strict=True) for one in [*heading, *part]]
        return [*self._first, *headed, *self._last]

    def __call__(self, statement: str, facts: str, program: str) -> list[int]:
        """Return the tokens of a whole text."""
        return self.joined(self.ids(statement), self.ids(facts), self.ids(program))


def _known(*ids: int | None) -> list[int]:
    return [one for one in ids if one is not None][:1]


def fitted(
    statement: Sequence[int], facts: Sequence[int], program: Sequence[int], room: int
) -> tuple[list[int], list[int], list[int]]:
    """Return the three parts cut so that they have at most `room` tokens together.

    The statement's end goes first, then that of the facts, then the program's middle.
    """
    kept = list(program)
    if len(kept) > room:
        head = (room + 1) // 2
        kept = [*kept[:head], *kept[len(kept) - (room - head) :]]
    found = list(facts)[: room - len(kept)]
    return list(statement)[: room - len(kept) - len(found)], found, kept


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Return rows of tokens as a batch, filled up on the right, and its mask: both (rows, longest row)."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(width)[None, :] < lengths[:, None]).to(torch.long)


def new_tokenizer(texts: Iterable[str], size: int) -> Any:
    """Return a byte-level BPE tokenizer trained on texts, with at most `size` tokens; digits stand alone."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[PAD, CLS, SEP],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, cls_token=CLS, sep_token=SEP)
