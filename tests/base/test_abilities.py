"""Whether a thing keeps a protocol is asked of its class, and no property is evaluated for it."""

from __future__ import annotations

from typing import Any

import pytest

import mars2_env
from mars2_env.base.abilities import keeps
from mars2_env.sandbox.base import Runs, Sandbox, Streams
from mars2_env.testing import ScriptedSandbox
from mars2_env.types import ActsTogether


class Lazy(ScriptedSandbox):
    """A sandbox whose identity is work."""

    @property
    def identity(self) -> str:
        raise AssertionError("asked for the identity")


class Proxy:
    """Stands for another thing."""

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


def test_no_property_is_evaluated() -> None:
    assert keeps(Lazy(), Sandbox)
    mars2_env.task("starter", sandbox=Lazy())


@pytest.mark.parametrize("thing", [ScriptedSandbox(), Proxy(ScriptedSandbox())])
def test_an_ability_may_be_the_class_s_or_a_proxy_s(thing: Any) -> None:
    assert keeps(thing, Runs)
    assert keeps(thing, Streams)
    assert not keeps(thing, ActsTogether)


def test_an_ability_may_be_the_thing_s_own_and_is_not_taken_for_its_class_s() -> None:
    class Bare:
        pass

    one, other = Bare(), Bare()
    one.run = lambda *_: []  # type: ignore[attr-defined]
    assert [keeps(thing, Runs) for thing in (other, one, other)] == [False, True, False]
    assert not keeps(5, Runs)
    with pytest.raises(mars2_env.ConfigError, match="neither a kind, such as"):
        mars2_env.task("starter", sandbox=one)
