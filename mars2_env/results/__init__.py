"""What trees come to: the one answer of each, how answers and nodes do on hidden tests, how searches compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mars2_env.results.answers import AnswerRule, alike, answer
from mars2_env.results.evaluation import Measure, Results, TreeResult, evaluate
from mars2_env.results.intervals import clustered_interval, effective_size, wilson_interval

if TYPE_CHECKING:
    from mars2_env.results.comparison import Comparison, compare
    from mars2_env.results.variety import Diversity, diversity_of

__all__ = [
    "AnswerRule",
    "Comparison",
    "Diversity",
    "Measure",
    "Results",
    "TreeResult",
    "alike",
    "answer",
    "clustered_interval",
    "compare",
    "diversity_of",
    "effective_size",
    "evaluate",
    "wilson_interval",
]


def __getattr__(name: str) -> Any:
    if name in ("Comparison", "compare"):
        from mars2_env.results import comparison

        return getattr(comparison, name)
    if name in ("Diversity", "diversity_of"):
        from mars2_env.results import variety

        return getattr(variety, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
