"""From a reward model's raw scores to probabilities, on problems that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mars2_env.base.checks import one_of, real_number
from mars2_env.errors import ConfigError

Method: TypeAlias = Literal["platt", "temperature", "none"]
Status: TypeAlias = Literal["passed", "failed", "untested"]
"""What public tests said of a program: that it passes all, that it does not, or nothing."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)
Floats: TypeAlias = NDArray[np.float64]

_STEPS = 100
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Calibration:
    """sigmoid(slope * score + offset): the probability that a program passes the hidden tests.

    `slope` is at least 0, so that calibration keeps the order of scores; 0 says that they told nothing.
    """

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", real_number("slope", self.slope, least=0, where="Calibration"))
        object.__setattr__(self, "offset", real_number("offset", self.offset, where="Calibration"))

    def __call__(self, scores: ArrayLike) -> Floats:
        """Return the probability of each score, of any shape."""
        return sigmoid(self.slope * np.asarray(scores, np.float64) + self.offset)


def calibrated(scores: ArrayLike, passed: ArrayLike, method: Method = "platt") -> Calibration:
    """Return the calibration that makes what is known of held-out programs likeliest.

    Args:
        scores: (programs,), raw.
        passed: (programs,), whether each passed the hidden tests.
        method: `platt` fits slope and offset to smoothed targets (Platt 1999); `temperature` the slope alone (Guo et
            al., arXiv 1706.04599), for scores that are log-odds already; `none` leaves scores as they are.

    Raises:
        ConfigError: the method is unknown, or there is nothing to learn from: no program, or all came out alike.
    """
    one_of("method", method, get_args(Method), where="calibrated")
    if method == "none":
        return Calibration()
    x, y = np.asarray(scores, np.float64), np.asarray(passed, bool)
    if y.all() or not y.any():
        kind = "there is none" if not len(y) else "all passed" if y.all() else "all failed"
        raise ConfigError(
            f"calibration needs held-out programs that pass and some that fail, and of these {len(y)} {kind}: keep "
            "more problems apart, or calibrate by 'none'."
        )
    targets = _smoothed(y)
    if method == "temperature":
        slope, offset = _fitted(x[:, None], targets)[0], 0.0
    else:
        slope, offset = _fitted(np.stack([x, np.ones_like(x)], axis=1), targets)
    if slope > 0:
        return Calibration(float(slope), float(offset))
    return _constant(y) if method == "platt" else Calibration(0.0, 0.0)


def calibrated_by_status(
    scores: ArrayLike, passed: ArrayLike, status: Sequence[Status], method: Method = "platt"
) -> dict[Status, Calibration]:
    """Return a calibration for each status.

    That a program fails a public test says more than any text, and how scores relate to probabilities differs between
    those that do and those that do not. So `platt` is fitted for each status by itself; where all programs of one came
    out alike it is their smoothed share, and where there are none it is that of all programs together. The other
    methods have no offset to tell statuses apart by, and are the same for all.

    Args:
        scores: (programs,), raw.
        passed: (programs,), whether each passed the hidden tests.
        status: of each program.
        method: as for `calibrated`.

    Raises:
        ConfigError: as `calibrated` of all programs.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(passed, bool)
    found = dict.fromkeys(STATUSES, calibrated(x, y, method))
    if method == "platt":
        for one in set(status):
            own = np.array([other == one for other in status])
            alike = y[own].all() or not y[own].any()
            found[one] = _constant(y[own]) if alike else calibrated(x[own], y[own], method)
    return found


def probabilities(calibration: Mapping[Status, Calibration], scores: ArrayLike, status: Sequence[Status]) -> Floats:
    """Return the probability of each score, (programs,), by the calibration of its status."""
    return np.array([calibration[one](x) for x, one in zip(np.asarray(scores), status, strict=True)], np.float64)


def _constant(passed: NDArray[np.bool_]) -> Calibration:
    """Return the calibration that says the smoothed share of programs that passed, whatever the score."""
    mean = float(_smoothed(passed).mean())
    return Calibration(0.0, float(np.log(mean / (1 - mean))))


def _smoothed(passed: NDArray[np.bool_]) -> Floats:
    """Return Platt's targets: (n+ + 1) / (n+ + 2) where it passed, 1 / (n- + 2) elsewhere."""
    good = int(passed.sum())
    return np.where(passed, (good + 1) / (good + 2), 1 / (len(passed) - good + 2))


def _fitted(columns: Floats, targets: Floats) -> Floats:
    """Return the weights of a logistic regression, by Newton's method with halved steps; columns (programs, weights).

    A tiny ridge keeps it defined where scores are all the same.
    """
    weights = np.zeros(columns.shape[1])

    def cost(at: Floats) -> float:
        z = columns @ at
        return float((np.logaddexp(0, z) - targets * z).sum() + _RIDGE * at @ at / 2)

    for _ in range(_STEPS):
        p = sigmoid(columns @ weights)
        gradient = columns.T @ (p - targets) + _RIDGE * weights
        curvature = columns.T @ (columns * (p * (1 - p))[:, None]) + _RIDGE * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-6 and cost(weights - size * step) > cost(weights):
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return weights


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)), without overflow."""
    return np.exp(-np.logaddexp(0.0, -x))
