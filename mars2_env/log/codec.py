"""The lines of a log: its header, and one event each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgspec

from mars2_env.base.journal import UNREADABLE
from mars2_env.episode.events import Asked, Cancelled, Ended, Event, Failed, Joined, Left, Seeded, Told
from mars2_env.errors import LogError, unknown_name

SCHEMA = 1

EVENTS: dict[str, type[Event]] = {
    "seeded": Seeded,
    "joined": Joined,
    "left": Left,
    "asked": Asked,
    "told": Told,
    "failed": Failed,
    "cancelled": Cancelled,
    "ended": Ended,
}
NAMES = {kind: name for name, kind in EVENTS.items()}

OMITTED: dict[str, Any] = {
    "detail": "",
    "given": False,
    "model_score": None,
    "usage": None,
    "budget": None,
    "kind": "sandbox",
}
"""Fields that came after the first version of the format, and their defaults: at these they are not written."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a log: everything that decides what the tree can be, but for the replies.

    Attributes:
        problem: the problem's id.
        seed: the seed of the episode.
        task: the configuration that decides the tree: agents and roles, budget, selector, rules, limits.
        task_hash: SHA-256 of `task` in canonical form.
        problems: SHA-256 over the whole problem set.
        sandbox: identity of the sandbox (back end, Python version, image hash).
        package: version of mars2_env that wrote the log.
        schema: version of this format.
    """

    problem: str
    seed: int
    task: dict[str, Any]
    task_hash: str
    problems: str
    sandbox: str
    package: str
    schema: int = SCHEMA


def encode_event(event: Event) -> bytes:
    """Return the line of an event, without its newline."""
    data: dict[str, Any] = {"event": NAMES[type(event)], **msgspec.to_builtins(event)}
    if isinstance(event, Told | Seeded):
        del data["verdict"]["cpu_seconds"]  # a clock time
    for name in [name for name, default in OMITTED.items() if name in data and data[name] == default]:
        del data[name]
    if "usage" in data:
        data["usage"] = {name: value for name, value in data["usage"].items() if value}
    return msgspec.json.encode(data)


def decode_event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        LogError: the line is not an event of this schema.
    """
    try:
        data = msgspec.json.decode(line)
        name = data.pop("event")
        if name not in EVENTS:
            raise LogError(unknown_name("event", name, EVENTS))
        return msgspec.convert(data, EVENTS[name])
    except (*UNREADABLE, AttributeError, KeyError, TypeError) as error:
        raise LogError(f"not an event: {error}") from None


def task_hash(task: Mapping[str, Any]) -> str:
    """Return SHA-256 of a task's configuration in canonical JSON."""
    return sha256(msgspec.json.encode(task, order="deterministic")).hexdigest()
