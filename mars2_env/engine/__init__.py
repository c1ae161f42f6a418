"""The rollout engine: many trees in flight, policies asked and programs judged beside one event loop.

It adds no rules of its own. A tree's way is a state machine without I/O (`course`); a driver moves many (`driver`).
"""

from mars2_env.engine.course import Ask, Course, Grade, Plant, Rate, Work
from mars2_env.engine.feed import Feed, Job, ListFeed
from mars2_env.engine.play import Observer
from mars2_env.engine.rollout import arollout, rollout
from mars2_env.engine.run import RUN_FILE, on_its_sandbox, read_run
from mars2_env.engine.trees import AsyncTrees, Trees

__all__ = [
    "RUN_FILE",
    "Ask",
    "AsyncTrees",
    "Course",
    "Feed",
    "Grade",
    "Job",
    "ListFeed",
    "Observer",
    "Plant",
    "Rate",
    "Trees",
    "Work",
    "arollout",
    "on_its_sandbox",
    "read_run",
    "rollout",
]
