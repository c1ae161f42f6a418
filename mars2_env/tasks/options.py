"""The options of a task as types, so that editors complete them and type checkers read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from mars2_env.episode import StopRule
from mars2_env.episode.rules import Game, Observe, ScoreKind
from mars2_env.problems import ProblemSet
from mars2_env.prompt import Prompts, Templates
from mars2_env.rewards import Reward
from mars2_env.sandbox import Sandbox
from mars2_env.search.budget import Budget
from mars2_env.search.choice import Selector
from mars2_env.tasks.game import Api
from mars2_env.tasks.task import OnFault, Share
from mars2_env.tasks.team import Generators
from mars2_env.types import Clues, Limits, RewardModel


class TaskOptions(TypedDict, total=False):
    """What `mars2_env.task`, `make` and `make_vec` take besides; `help(mars2_env.task)` says what each does."""

    problems: str | ProblemSet
    split: str | None
    path: str | os.PathLike[str] | None
    problem_options: Mapping[str, Any] | None
    preset: Literal["mars2", "tplus"] | None
    game: Game
    api: Api | None
    agents: int | list[str] | tuple[str, ...] | Mapping[str, str] | None
    generators: Generators | None
    cards: bool
    clues: Clues | None
    budget: int | str | Budget | Mapping[str, Any] | None
    selector: str | Selector | None
    prompts: str | Prompts | Templates | None
    score: ScoreKind
    score_on: Literal["public", "scoring"]
    reward: str | Reward
    share: Share
    observe: Observe
    generators_observe: Observe | None
    rounds: int | None
    stop_on_solved: bool | int
    patience: int | None
    stop_when: StopRule | None
    reward_model: str | RewardModel | None
    model_weight: float
    max_faults: int
    on_fault: OnFault
    sandbox: str | Sandbox
    limits: Limits | None
    strict_types: bool
    render_mode: Literal["ansi", "human"] | None
    out: str | os.PathLike[str] | None
