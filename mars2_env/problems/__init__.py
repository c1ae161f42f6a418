"""Problem sets: what they are, how they are loaded and how others register their own."""

from mars2_env.problems.base import Loader, ProblemSet, Use
from mars2_env.problems.jsonl import split_tests, write_jsonl
from mars2_env.problems.registry import load_problems, names, register_problems

__all__ = [
    "Loader",
    "ProblemSet",
    "Use",
    "load_problems",
    "names",
    "register_problems",
    "split_tests",
    "write_jsonl",
]
