"""One notation names parts, selectors, prompts and budgets, and its texts mean what the types that take them say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mars2_env
from mars2_env import ConfigError, Reply, Turn
from mars2_env.base.spec import Spec, parse_spec, plain, typed, typed_options, write_spec
from mars2_env.tasks.policies import make_policy


def test_a_spec_has_a_name_a_rest_and_options() -> None:
    assert parse_spec("hf:org/name, temperature = 0.8") == Spec("hf", "org/name", {"temperature": "0.8"})
    assert parse_spec("nodes=3,cost=1", named=False) == Spec("", "", {"nodes": "3", "cost": "1"})
    assert parse_spec("60,cost=1", named=False) == Spec("60", "", {"cost": "1"})


@pytest.mark.parametrize(
    ("text", "rest", "options"),
    [
        ("p:MODEL@http://host:8000/v1,key=value", "MODEL@http://host:8000/v1", {"key": "value"}),
        ("p:/runs/a=b/c d,key=x=y==", "/runs/a=b/c d", {"key": "x=y=="}),
        (r"p:C:\runs\bank,key=D:\a", r"C:\runs\bank", {"key": r"D:\a"}),
        (r'p:"C:\runs\a,b"', r"C:\runs\a,b", {}),
        ('p,system="Short, please.", stop=";"', "", {"system": "Short, please.", "stop": ";"}),
        ('p,system="Say ""yes"", or no."', "", {"system": 'Say "yes", or no.'}),
        ('p,system=" x "', "", {"system": " x "}),
        ('p:say "hi",system=5"', 'say "hi"', {"system": '5"'}),
        ('p:"",key=""', "", {"key": ""}),
    ],
)
def test_rests_and_values_may_hold_what_paths_addresses_and_sentences_do(
    text: str, rest: str, options: dict[str, str]
) -> None:
    assert parse_spec(text) == Spec("p", rest, options)
    assert parse_spec(write_spec(Spec("p", rest, options))) == Spec("p", rest, options)


@given(st.text(), st.dictionaries(st.from_regex(r"[a-z_.]+", fullmatch=True), st.text()))
def test_a_spec_that_is_written_is_read_as_it_was(rest: str, options: dict[str, str]) -> None:
    assert parse_spec(write_spec(Spec("name", rest, options))) == Spec("name", rest, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (":x", "has no name"),
        ('a:"x,b=1', "is not closed"),
        ('a,b="x" y', "is not closed"),
        ('a,b="', "is not closed"),
        ("a,b", "'b' is not key=value"),
        ("a,=3", "'=3' is not key=value"),
        ("a,b=1,b=2", "gives 'b' twice"),
        (3, "spec=3 is not a text"),
    ],
)
def test_a_malformed_spec_says_what_is_wrong_with_it(text: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_spec(text)


@dataclass(frozen=True)
class Inner:
    gamma: float = 0.9


@pytest.mark.parametrize(
    ("value", "kind", "meant"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        (2, float, 2.0),
        ("on", bool, True),
        ("off", bool, False),
        ("true", bool, True),
        ("0", bool, False),
        ("0.2/0.6", tuple[float, ...], (0.2, 0.6)),
        ([0.2, 0.6], tuple[float, ...], (0.2, 0.6)),
        ([[0, 1]], tuple[tuple[int, int], ...], ((0, 1),)),
        ("default", Inner | None, Inner()),
        ({"gamma": 0.5}, Inner | None, Inner(0.5)),
        (None, Inner | None, None),
        ("on", str, "on"),
        ("ucb", Literal["thompson", "ucb"], "ucb"),
        ("a/b", tuple[str, ...], ("a", "b")),
        ("1/2", list[int], [1, 2]),
        ("1/2", Sequence[int], [1, 2]),
        ("0.5/1", tuple[float, ...] | None, (0.5, 1.0)),
        ("none", tuple[float, ...] | None, None),
        ("on/off", tuple[bool, ...], (True, False)),
        ("on", bool | None, True),
        ("+08", int, 8),
        ("5.", float, 5.0),
        ("7", int | None, 7),
        ("2024-08-01", str | date | None, "2024-08-01"),
        (date(2024, 8, 1), str | date | None, date(2024, 8, 1)),
    ],
)
def test_a_value_is_read_as_its_type_asks(value: Any, kind: Any, meant: Any) -> None:
    found = typed(value, kind, "x")
    assert (found, type(found)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("many", int, "^uct: samples='many' is not a whole number.$"),
        ("1.5", int, "is not a whole number"),
        ("x", float, "is not a number"),
        ("maybe", bool, "is not on or off"),
        ("dice", Literal["thompson", "ucb"], "is not one of thompson, ucb"),
        (True, int, "is not a whole number"),
        ("8.0", int, "is not a whole number"),
        ("on", Inner | None, r"is not `default` or, in Python, a Inner\(...\) or none"),
        ("a/b", tuple[float, ...], "is not a number, or several between slashes, such as 0.2/0.6"),
        ("a", dict[str, int], "is not a dict"),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(value: Any, kind: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        typed(value, kind, "uct: samples")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("True", True), ("7", 7), ("-1e3", -1000.0), (".5", 0.5), ("2024-08-01", "2024-08-01"), ("1_0", "1_0"), (8, 8)],
)
def test_what_nobody_types_is_read_by_its_looks(text: Any, meant: Any) -> None:
    assert plain(text) == meant
    assert typed_options(lambda size: None, {"size": text}, "x", otherwise=plain) == {"size": meant}


def test_options_of_a_policy_of_ones_own_are_read_by_its_annotations() -> None:
    class Typed:
        def __init__(self, rest: str, *, problems: Any, tries: int = 1, warm: bool = False, name: str = "") -> None:
            self.given = (tries, warm, name)

        def act(self, turns: list[Turn]) -> list[Reply]:
            return [Reply("") for _ in turns]

    mars2_env.register_policy("test-typed")(Typed)
    policy = make_policy("test-typed:x,tries=3,warm=on,name=7")
    assert isinstance(policy, Typed)
    assert policy.given == (3, True, "7")
    with pytest.raises(ConfigError, match="policy 'test-typed': tries='x' is not a whole number"):
        make_policy("test-typed:x,tries=x")
