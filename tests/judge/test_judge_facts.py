"""What feedback quotes: bounded, and the same in every process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from mars2_env.base.texts import elided
from mars2_env.judge.facts import MAX_TEXT, failing_test, limit_text, shown
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.types import Limits, Run, Stdin, TestCase


def test_a_long_text_loses_its_middle_and_says_how_much() -> None:
    text = "".join(chr(33 + i % 90) for i in range(123_456))
    short = elided(text, MAX_TEXT)
    assert len(short) <= MAX_TEXT
    head, rest = short.split("[... ")
    count, tail = rest.split(" characters left out ...]")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + int(count) + len(tail) == len(text)
    assert elided(text[:MAX_TEXT], MAX_TEXT) == text[:MAX_TEXT]


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -2.5, "a'b", b"x", [], [1, (2,)], (), (1, 2), {"a": [1]}, {3, 1, 2}, 1 + 2j, set(), frozenset()],
)
def test_plain_data_is_shown_as_python_shows_it(value: Any) -> None:
    assert shown(value) == repr(value)


def test_sets_are_shown_in_order_whatever_the_hash_seed() -> None:
    code = "from mars2_env.judge.facts import shown; print(shown({'b', 'a', 'c', ('x', 'y')}), shown({10, 9, 1}))"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert texts == {"{'a', 'b', 'c', ('x', 'y')} {1, 9, 10}\n"}


def test_other_values_are_shown_by_their_type_name_and_huge_ints_in_hexadecimal() -> None:
    assert shown([Opaque("Spam")]) == "[<Spam object>]"
    assert shown(16**5000) == "0x1" + "0" * 5000


def test_limits_are_named_readably() -> None:
    limits = Limits(cpu_seconds=3, wall_seconds=9, memory_bytes=512 * 2**20, output_bytes=1500)
    assert limit_text("time_limit", limits) == "3 s of CPU time or 9 s of wall time"
    assert limit_text("memory_limit", limits) == "512 MB of memory"
    assert limit_text("output_limit", limits) == "1.5 kB of output"
    assert limit_text("wrong_answer", limits) == ""


def test_object_addresses_in_an_output_are_masked_so_that_feedback_repeats() -> None:
    facts = failing_test(
        0,
        TestCase("", "3"),
        Run("ok", output="<object object at 0x7f16fd9a71b0>\n"),
        "wrong_answer",
        Stdin(),
        Limits(),
    )
    assert "7f16fd9a71b0" not in facts.actual
    assert "<object object at 0x" in facts.actual
