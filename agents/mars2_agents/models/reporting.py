"""How good a reward model is on problems that it did not learn from."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mars2_agents.models.calibration import Calibration, probabilities
from mars2_agents.models.examples import Examples
from mars2_agents.models.fitting import check_fresh, raw_scores
from mars2_agents.models.measures import auc, auc_by_problem, brier, calibration_error, interval_by_problem
from mars2_agents.models.reward_model import LearnedRewardModel


@dataclass(frozen=True, slots=True)
class Report:
    """How good a reward model is on examples of problems that it did not learn from.

    Intervals are 95 % bootstrap intervals over problems. Measures that nothing can be said of are NaN.

    Attributes:
        programs: how many.
        problems: of how many problems.
        passed: the share of programs that pass the hidden tests.
        auc: over all pairs of programs.
        auc_interval: of that.
        within: mean AUC within a problem.
        within_interval: of that.
        tied: the same among programs that pass all public tests, where nothing else tells them apart.
        tied_interval: of that.
        tied_problems: in how many problems that can be measured.
        public: AUC of "passes all public tests" alone, over all pairs: what the model has to add to.
        error_before: calibration error of sigmoid(raw score).
        error: calibration error.
        brier_before: Brier score of sigmoid(raw score).
        brier: Brier score.
    """

    programs: int
    problems: int
    passed: float
    auc: float
    auc_interval: tuple[float, float]
    within: float
    within_interval: tuple[float, float]
    tied: float
    tied_interval: tuple[float, float]
    tied_problems: int
    public: float
    error_before: float
    error: float
    brier_before: float
    brier: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, None for NaN."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    def rows(self) -> list[tuple[str, str]]:
        """Return what is measured in words, and its value: the rows of a table."""
        return [
            ("programs (problems)", f"{self.programs} ({self.problems})"),
            ("pass the hidden tests", f"{self.passed:.3f}"),
            ("AUC, all pairs", _with_interval(self.auc, self.auc_interval)),
            ("AUC of the public tests alone", f"{self.public:.3f}"),
            ("AUC within a problem", _with_interval(self.within, self.within_interval)),
            (
                f"the same among programs that pass all public tests ({self.tied_problems} problems)",
                _with_interval(self.tied, self.tied_interval),
            ),
            ("calibration error before, after", f"{self.error_before:.3f}, {self.error:.3f}"),
            ("Brier score before, after", f"{self.brier_before:.3f}, {self.brier:.3f}"),
        ]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def report(model: LearnedRewardModel, held_out: Examples, *, seed: int = 0) -> Report:
    """Return how good a model is on problems that it neither learned from nor was calibrated on.

    Args:
        model: the model.
        held_out: the examples.
        seed: of the bootstrap.

    Raises:
        ConfigError: it learned from one of the problems, or there are no examples.
    """
    check_fresh(model, held_out, "measured")
    raw, passed = raw_scores(model, held_out), held_out.passed
    problems = [row.problem for row in held_out.rows]
    public = np.array([row.public for row in held_out.rows])
    before, after = Calibration()(raw), probabilities(model.about.calibration, raw, held_out.statuses)
    tied_problems = [problem for problem, one in zip(problems, public, strict=True) if one]
    within = auc_by_problem(after, passed, problems)
    tied = auc_by_problem(after[public], passed[public], tied_problems)
    return Report(
        programs=len(raw),
        problems=len(set(problems)),
        passed=float(passed.mean()),
        auc=auc(after, passed),
        auc_interval=interval_by_problem(lambda at: auc(after[at], passed[at]), problems, seed=seed),
        within=_mean(within),
        within_interval=interval_by_problem(lambda at: _mean(within[at]), range(len(within)), seed=seed),
        tied=_mean(tied),
        tied_interval=interval_by_problem(lambda at: _mean(tied[at]), range(len(tied)), seed=seed),
        tied_problems=len(tied),
        public=auc(public, passed),
        error_before=calibration_error(before, passed),
        error=calibration_error(after, passed),
        brier_before=brier(before, passed),
        brier=brier(after, passed),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
