"""Credit against values that independent implementations gave (`shared/vectors`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mars2_env.credit import advantages, overlong_penalty, pass_at_k, tree_shaping

Vectors = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def vectors(shared: Path) -> Vectors:
    def read(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((shared / "vectors" / name).read_text())
        return found

    return read


def test_tree_shaping_is_the_law_on_raw_rewards(vectors: Vectors) -> None:
    cases = vectors("tree_shaping.json")["cases"]
    assert cases
    for case in cases:
        parents = np.array(case["parent"]) + 1
        shaped = tree_shaping(parents, case["reward"], gamma=case["gamma"], mix=case["lambda_mix"])
        np.testing.assert_allclose(shaped, case["paper_raw_parent"], atol=1e-6)


def test_group_advantages(vectors: Vectors) -> None:
    cases = vectors("group_norm.json")["cases"]
    assert {case["estimator"] for case in cases} == {"group_norm", "dr_grpo", "rloo"}
    for case in cases:
        groups = np.arange(len(case["rewards"])) // case["group_size"]
        found = advantages(case["rewards"], groups.tolist(), estimator=case["estimator"])
        np.testing.assert_allclose(found, case["advantage"], atol=1e-5)


def test_a_constant_group_has_no_advantage_whatever_its_rounding(vectors: Vectors) -> None:
    for case in vectors("group_norm.json")["degenerate_constant_groups"]:
        size = case["group_size"]
        assert advantages([case["constant_reward"]] * size, [0] * size).tolist() == [0.0] * size


def test_overlong_penalty(vectors: Vectors) -> None:
    for case in vectors("overlong_penalty.json")["cases"]:
        found = overlong_penalty(
            case["response_length"],
            max_length=case["generate_max_len"],
            buffer=case["overlong_buffer_len"],
            factor=case["overlong_penalty_factor"],
        )
        np.testing.assert_allclose(found, case["penalty"], atol=1e-6)


def test_pass_at_k(vectors: Vectors) -> None:
    for case in vectors("pass_at_k.json")["cases"]:
        assert pass_at_k(case["n"], case["c"], case["k"]) == pytest.approx(case["pass_at_k"], abs=1e-12)
