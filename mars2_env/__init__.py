"""Multi-agent tree search over programs as an environment.

import mars2_env

env = mars2_env.make()            # a PettingZoo environment
task = mars2_env.task("humaneval")
for tree in mars2_env.rollout(task, "noise:default", out="runs/x"):
    print(tree.problem, tree.best_score)
print(mars2_env.evaluate("runs/x").pass_at_1_mcts)
"""

from mars2_env.config import Config, load_config
from mars2_env.engine import arollout, rollout
from mars2_env.envs import make, make_vec, register_task
from mars2_env.episode import Episode, Rules
from mars2_env.errors import (
    ConfigError,
    EpisodeError,
    JudgeError,
    LogError,
    Mars2Error,
    PartError,
    PolicyError,
    PolicyUnavailableError,
    ProblemError,
    SandboxError,
    SandboxUnavailableError,
)
from mars2_env.judge import Judge
from mars2_env.log import Tree, read_log, replay
from mars2_env.problems import ProblemSet, load_problems, register_problems
from mars2_env.results import Results, answer, evaluate
from mars2_env.rewards import register_reward
from mars2_env.sandbox import Sandbox, make_sandbox
from mars2_env.search.budget import Budget, Usage
from mars2_env.search.selectors import register_selector
from mars2_env.tasks import Task, task
from mars2_env.tasks.policies import register_policy, register_reward_model
from mars2_env.types import (
    Call,
    Feedback,
    Generation,
    Limits,
    Node,
    Policy,
    Problem,
    PublicView,
    Reply,
    RewardModel,
    Run,
    Stdin,
    Step,
    TestCase,
    Trial,
    Turn,
    Verdict,
)
from mars2_env.version import __version__
from mars2_env.view.notebook import show_in_notebooks

show_in_notebooks()

__all__ = [
    "Budget",
    "Call",
    "Config",
    "ConfigError",
    "Episode",
    "EpisodeError",
    "Feedback",
    "Generation",
    "Judge",
    "JudgeError",
    "Limits",
    "LogError",
    "Mars2Error",
    "Node",
    "PartError",
    "Policy",
    "PolicyError",
    "PolicyUnavailableError",
    "Problem",
    "ProblemError",
    "ProblemSet",
    "PublicView",
    "Reply",
    "Results",
    "RewardModel",
    "Rules",
    "Run",
    "Sandbox",
    "SandboxError",
    "SandboxUnavailableError",
    "Stdin",
    "Step",
    "Task",
    "TestCase",
    "Tree",
    "Trial",
    "Turn",
    "Usage",
    "Verdict",
    "__version__",
    "answer",
    "arollout",
    "evaluate",
    "load_config",
    "load_problems",
    "make",
    "make_sandbox",
    "make_vec",
    "read_log",
    "register_policy",
    "register_problems",
    "register_reward",
    "register_reward_model",
    "register_selector",
    "register_task",
    "replay",
    "rollout",
    "task",
]
