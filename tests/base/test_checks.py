"""Arguments are checked in one way, and the message says which was wrong, with what value, and what is wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mars2_env import ConfigError, ProblemError
from mars2_env.base.checks import flag, one_of, real_number, whole_number


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(3)])
def test_whole_numbers_come_back_as_ints(value: Any) -> None:
    assert type(whole_number("trees", value)) is int
    assert whole_number("trees", value) == value


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "3", None, 11])
def test_what_is_no_whole_number_within_its_bounds_is_refused_by_name_and_value(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        whole_number("trees", value, most=10, where="rollout")
    assert str(caught.value) == f"rollout(trees={value!r}): must be a whole number of at least 1 and at most 10."


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5", None])
def test_what_is_no_number_from_0_to_1_is_refused(value: Any) -> None:
    assert real_number("weight", 0, least=0, most=1) == 0
    assert real_number("weight", 0.25, least=0, most=1) == 0.25
    with pytest.raises(ConfigError) as caught:
        real_number("weight", value, least=0, most=1)
    assert str(caught.value) == f"weight={value!r}: must be a number from 0 to 1."


def test_an_error_is_of_the_kind_that_is_asked_for() -> None:
    with pytest.raises(ProblemError, match=r"^Limits\(cpu_seconds=0\): must be a finite number above 0\.$"):
        real_number("cpu_seconds", 0, above=0, where="Limits", error=ProblemError)
    with pytest.raises(ConfigError, match=r"^strict=1: must be True or False\.$"):
        flag("strict", 1)
    with pytest.raises(ConfigError, match=r"^share='us' is not one of own, team\.$"):
        one_of("share", "us", ("own", "team"))
