"""The one family of errors that this library raises on purpose.

A message says what was wrong, with which value, and what to do about it. Command line programs print the
message alone; anything that is not a `Mars2Error` is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

MAX_SHOWN: Final = 24
"""How many known names a message lists."""


class Mars2Error(Exception):
    """Base of every error that mars2_env raises on purpose."""


class ConfigError(Mars2Error, ValueError):
    """An argument, option or combination of them makes no sense."""


class PartError(ConfigError):
    """A part (a policy, a selector, a sandbox, ...) is unknown, offered twice, or cannot be loaded."""


class ExtraError(ConfigError, ImportError):
    """A package that an optional part needs is not installed; the message names the extra that brings it."""


class ProblemError(Mars2Error, ValueError):
    """A problem or problem file is malformed; names the file, line and field where there are any."""


class SandboxError(Mars2Error):
    """The sandbox could not decide a run; never to be read as a score."""


class SandboxUnavailableError(SandboxError):
    """No usable sandbox on this machine; the message says what was tried and which command mends it."""


class SandboxAwayError(SandboxUnavailableError):
    """The engine behind a sandbox does not answer now, as while it restarts: worth waiting for, no program's doing."""


class JudgeError(Mars2Error, ValueError):
    """A grading request makes no sense, such as an empty selection of tests."""


class EpisodeError(Mars2Error):
    """An episode was driven against its protocol, such as telling a turn twice."""


class LogError(Mars2Error):
    """An event log is unreadable, of another schema, or of another configuration."""


class LogInUseError(LogError):
    """A log is being written by another run."""


class PolicyError(Mars2Error):
    """A policy could not be built, or returned something that is not one reply a turn."""


class PolicyUnavailableError(PolicyError):
    """What a policy asks (a server, an engine) is gone, or does not answer in time: it, or another, may yet answer."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return the message for an unknown `name` of some `kind`: what is known, and the nearest match."""
    names = sorted(known)
    nearest = get_close_matches(name, names, n=1) if isinstance(name, str) else []
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    shown = names if len(names) <= MAX_SHOWN else [*names[: MAX_SHOWN - 1], f"... ({len(names)} in all)"]
    return f"unknown {kind} {name!r:.200}.{hint} Known: {', '.join(shown) or 'none'}."
