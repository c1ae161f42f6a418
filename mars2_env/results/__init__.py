"""What trees come to: the one answer of each, and how answers and nodes do on hidden tests."""

from mars2_env.results.answers import AnswerRule, alike, answer
from mars2_env.results.evaluation import Results, TreeResult, evaluate, wilson_interval

__all__ = ["AnswerRule", "Results", "TreeResult", "alike", "answer", "evaluate", "wilson_interval"]
