"""Problem sets: what they are, how they are loaded and how others register their own."""

from mars2_env.problems.base import Loader, ProblemSet, Provenance, Use
from mars2_env.problems.duplicates import Duplicate, duplicates, without_duplicates
from mars2_env.problems.groups import split_tests
from mars2_env.problems.jsonl import write_jsonl
from mars2_env.problems.registry import load_problems, names, register_problems

__all__ = [
    "Duplicate",
    "Loader",
    "ProblemSet",
    "Provenance",
    "Use",
    "duplicates",
    "load_problems",
    "names",
    "register_problems",
    "split_tests",
    "without_duplicates",
    "write_jsonl",
]
