"""What is played, and one play of it: games, tasks, teams, matches.

A `Task` says what is played: problems, agents, budget, selector, rules, rewards. A `Match` is one play of it on one
problem: the episode with its log, opened or resumed, and the grading of replies. Drivers add only who is asked when.
"""

from mars2_env.tasks.absence import outlasting
from mars2_env.tasks.build import OPTIONS, add_task, task
from mars2_env.tasks.game import GAMES, Api, Game
from mars2_env.tasks.match import Match, begin, ratings, sandbox_of, shared_sandbox, void
from mars2_env.tasks.options import TaskOptions
from mars2_env.tasks.policies import check_rated, identity_of
from mars2_env.tasks.presets import PRESETS, TASKS
from mars2_env.tasks.task import OnFault, Share, Task, load_from
from mars2_env.tasks.team import (
    DEFAULT_GENERATOR,
    Generators,
    agent_names,
    call,
    call_key,
    calls,
    failed,
    replies_of,
    seat,
    takes_trial,
    warn_failed,
)
from mars2_env.tasks.trial import PublicTests

__all__ = [
    "DEFAULT_GENERATOR",
    "GAMES",
    "OPTIONS",
    "PRESETS",
    "TASKS",
    "Api",
    "Game",
    "Generators",
    "Match",
    "OnFault",
    "PublicTests",
    "Share",
    "Task",
    "TaskOptions",
    "add_task",
    "agent_names",
    "begin",
    "call",
    "call_key",
    "calls",
    "check_rated",
    "failed",
    "identity_of",
    "load_from",
    "outlasting",
    "ratings",
    "replies_of",
    "sandbox_of",
    "seat",
    "shared_sandbox",
    "takes_trial",
    "task",
    "void",
    "warn_failed",
]
