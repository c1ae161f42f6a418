"""The lines of a log: its header, and one event each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, Final

import msgspec

from mars2_env.base.journal import UNREADABLE
from mars2_env.episode.events import Asked, Cancelled, Ended, Event, Failed, Joined, Left, Passed, Seeded, Told
from mars2_env.episode.rules import Rules
from mars2_env.errors import LogError, unknown_name

SCHEMA: Final = 2
"""The youngest version of the format, which has `passed`."""

SCHEMAS: Final = (1, 2)
"""The versions that are read. A log is written in the oldest that can tell of its game (`schema_of`)."""

EVENTS: dict[str, type[Event]] = {
    "seeded": Seeded,
    "joined": Joined,
    "left": Left,
    "asked": Asked,
    "told": Told,
    "passed": Passed,
    "failed": Failed,
    "cancelled": Cancelled,
    "ended": Ended,
}
NAMES = {kind: name for name, kind in EVENTS.items()}
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in NAMES}
_MEND = "Nothing of this library wrote that line: put the log back as it was, or elsewhere to grow its tree anew."
_ENCODER = msgspec.json.Encoder()

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
        schema: version of this format (`schema_of`).
    """

    problem: str
    seed: int
    task: dict[str, Any]
    task_hash: str
    problems: str
    sandbox: str
    package: str
    schema: int = 1


def encode_event(event: Event) -> bytes:
    """Return the line of an event, without its newline."""
    kind = type(event)
    data: dict[str, Any] = {"event": NAMES[kind]}
    for name in _FIELDS[kind]:
        value = getattr(event, name)
        if name not in OMITTED or value != OMITTED[name]:
            data[name] = value
    if isinstance(event, Told | Seeded):
        verdict = event.verdict  # without its CPU seconds: a clock time
        data["verdict"] = {"groups": verdict.groups, "settled": verdict.settled, "feedback": verdict.feedback}
    if "usage" in data:
        data["usage"] = {name: value for name, value in msgspec.to_builtins(data["usage"]).items() if value}
    return _ENCODER.encode(data)


def decode_event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        LogError: the line is not an event of this schema.
    """
    try:
        data = msgspec.json.decode(line)
        if not isinstance(data, dict) or "event" not in data:
            shown = bytes(line[:80]).decode("utf-8", "replace")
            raise LogError(f"not an event: {shown!r} is no object with the key 'event'. {_MEND}")
        name = data.pop("event")
        if name not in EVENTS:
            raise LogError(unknown_name("event", name, EVENTS))
        return msgspec.convert(data, EVENTS[name])
    except (*UNREADABLE, TypeError) as error:
        raise LogError(f"not an event: {str(error).rstrip('.')}. {_MEND}") from None


def schema_of(rules: Rules) -> int:
    """Return the version of the format that a log of a game by these rules is written in."""
    return 1 if rules.rounds is None else 2


def task_hash(task: Mapping[str, Any]) -> str:
    """Return SHA-256 of a task's configuration in canonical JSON."""
    return sha256(msgspec.json.encode(task, order="deterministic")).hexdigest()
