"""What trees come to: the one answer of each, and how answers and nodes do on hidden tests."""

from mars2_env.results.answers import AnswerRule, alike, answer
from mars2_env.results.comparison import Comparison, compare
from mars2_env.results.evaluation import Measure, Results, TreeResult, evaluate
from mars2_env.results.intervals import clustered_interval, effective_size, wilson_interval
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
