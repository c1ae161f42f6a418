"""One search as a pure state machine: rules, events, the state as their fold, ends, turns, and commands."""

from mars2_env.episode.ends import StopRule, name_of
from mars2_env.episode.episode import ILLEGAL, NO_PROGRAM, PASS, Episode, Snapshot, Submission
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
    Passed,
    Seeded,
    Told,
)
from mars2_env.episode.rules import Game, Observe, Rules, ScoreKind, chosen
from mars2_env.episode.state import State

__all__ = [
    "ILLEGAL",
    "NO_PROGRAM",
    "PASS",
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
    "Passed",
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
