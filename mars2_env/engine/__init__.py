"""The rollout engine: many trees in flight, policies called on batches, programs graded while models think.

It adds no rules of its own. A tree's way is a state machine without I/O (`course`); a driver moves it (`threads`).
"""

from mars2_env.engine.course import Ask, Course, Grade, Plant, Rate, Work
from mars2_env.engine.rollout import rollout
from mars2_env.engine.run import RUN_FILE, on_its_sandbox, read_run
from mars2_env.engine.threads import Observer

__all__ = [
    "RUN_FILE",
    "Ask",
    "Course",
    "Grade",
    "Observer",
    "Plant",
    "Rate",
    "Work",
    "on_its_sandbox",
    "read_run",
    "rollout",
]
