"""A policy that follows a script: it answers with replies that the caller wrote down, where no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, TypeAlias

from mars2_env.errors import ConfigError, PolicyError
from mars2_env.types import Reply, Turn

Scripted: TypeAlias = str | Reply
Script: TypeAlias = Callable[[Turn], Scripted] | Mapping[Any, Scripted | Sequence[Scripted]] | Sequence[Scripted]


class ScriptedPolicy:
    """Answers turns from a script.

    Args:
        replies: a sequence is given out in order, one item a turn; a mapping is looked up by the turn's id, then its
            agent, then its problem's id, and an entry that is a sequence is given out in order; a function is called
            with the turn. An item is a `Reply` or its text.
        parent: the parent named where the agent chooses it and the item is a text or names none; it must be on offer.
    """

    def __init__(self, replies: Script, *, parent: int = 0) -> None:
        if isinstance(replies, str | Reply):
            raise ConfigError(
                f"ScriptedPolicy({replies!r}): give a sequence, a mapping or a function of the turn; "
                f"for one reply to every turn use `lambda turn: ...`."
            )
        if not callable(replies) and not isinstance(replies, Mapping | Sequence):
            raise ConfigError(
                f"ScriptedPolicy({replies!r}): give a sequence, a mapping or a function, not {type(replies).__name__}."
            )
        self._replies = replies
        self._parent = parent
        self._used: dict[Any, int] = {}

    def __repr__(self) -> str:
        kind = "function" if callable(self._replies) else f"{len(self._replies)} entries"
        return f"ScriptedPolicy({kind})"

    @property
    def identity(self) -> str:
        """The script: a digest of its entries, or the name of its function."""
        replies = self._replies
        if callable(replies):
            what = getattr(replies, "__qualname__", type(replies).__qualname__)
        else:
            what = sha256(repr(replies).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"scripted:{what},parent={self._parent}"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return the script's reply to each turn, in order.

        Raises:
            PolicyError: the script has no reply (left) for a turn, or something else than a text or `Reply`.
        """
        return [self._reply(turn) for turn in turns]

    def _reply(self, turn: Turn) -> Reply:
        item = self._item(turn)
        if isinstance(item, str):
            item = Reply(item)
        if not isinstance(item, Reply):
            raise PolicyError(
                f"the script's reply to turn {turn.id} of {turn.agent} on {turn.problem.id} is "
                f"{type(item).__name__}, not a text or Reply."
            )
        if turn.parent is None and item.parent is None:
            item = replace(item, parent=self._parent)
        return item

    def _item(self, turn: Turn) -> Any:
        replies = self._replies
        if callable(replies):
            return replies(turn)
        if isinstance(replies, Mapping):
            for key in (turn.id, turn.agent, turn.problem.id):
                if key in replies:
                    entry = replies[key]
                    return entry if isinstance(entry, str | Reply) else self._next(key, entry, turn)
            raise PolicyError(
                f"the script has no entry for turn {turn.id}, agent {turn.agent!r} or problem {turn.problem.id!r}; "
                f"it has {', '.join(repr(key) for key in replies) or 'none'}."
            )
        return self._next(None, replies, turn)

    def _next(self, key: Any, items: Sequence[Scripted], turn: Turn) -> Scripted:
        used = self._used.get(key, 0)
        if used >= len(items):
            where = "" if key is None else f" under {key!r}"
            raise PolicyError(
                f"the script{where} ran out: it has {len(items)} replies and turn {turn.id} of {turn.agent} on "
                f"{turn.problem.id} needs one more. Add replies, or pass a function of the turn."
            )
        self._used[key] = used + 1
        return items[used]
