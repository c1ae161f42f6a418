"""Problem sets: what they are, how they are loaded and how others register their own."""

from mars2_env.problems.base import Loader, ProblemSet, Provenance, Use
from mars2_env.problems.groups import split_tests
from mars2_env.problems.jsonl import write_jsonl
from mars2_env.problems.registry import load_problems, names, register_problems

__all__ = [
    "Loader",
    "ProblemSet",
    "Provenance",
    "Use",
    "load_problems",
    "names",
    "register_problems",
    "split_tests",
    "write_jsonl",
]
