"""One search as a pure state machine: rules, events, the state as their fold, ends, turns, and commands."""

from mars2_env.episode.ends import StopRule, name_of
from mars2_env.episode.episode import ILLEGAL, NO_PROGRAM, Episode, Snapshot, Submission
from mars2_env.episode.events import (
    Asked,
    Cancelled,
    Ended,
    EndReason,
    Event,
    Failed,
    FaultKind,
    Joined,
    Left,
    Seeded,
    Told,
)
from mars2_env.episode.rules import Game, Observe, Rules, ScoreKind, chosen
from mars2_env.episode.state import State

__all__ = [
    "ILLEGAL",
    "NO_PROGRAM",
    "Asked",
    "Cancelled",
    "EndReason",
    "Ended",
    "Episode",
    "Event",
    "Failed",
    "FaultKind",
    "Game",
    "Joined",
    "Left",
    "Observe",
    "Rules",
    "ScoreKind",
    "Seeded",
    "Snapshot",
    "State",
    "StopRule",
    "Submission",
    "Told",
    "chosen",
    "name_of",
]
