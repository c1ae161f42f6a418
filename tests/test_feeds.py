"""Where a run's problems come from: what a feed may hand out, and whose exceptions are whose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from toys import Actor, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Task
from mars2_env.engine import Job, ListFeed


def task(count: int = 4, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=sandbox(), **options)


class _OfAnything(ListFeed):
    """Hands out whatever it is told to."""

    def __init__(self, said: Any) -> None:
        super().__init__([])
        self.said = said

    def claim(self) -> Any:
        return self.said() if callable(self.said) else self.said


async def _job() -> Job:
    return Job("toy/0")


@pytest.mark.parametrize("said", ["toy/0", problem_set(1)[0], 3, False, _job])
def test_what_a_feed_hands_out_is_a_job(said: Any) -> None:
    with pytest.raises(ConfigError, match=r"claim\(\) of the feed .* return Job\(problem=ID, number=PLACE\)"):
        list(mars2_env.rollout(task(), Actor(), feed=_OfAnything(said)))


@pytest.mark.parametrize("method", ["claim", "renew", "done"])
def test_an_exception_of_a_feed_says_whose_it_is(method: str) -> None:
    feed = ListFeed(["toy/0"])
    setattr(feed, method, lambda *job: {}["lost"])
    with pytest.raises(KeyError) as found:
        list(mars2_env.rollout(task(1, budget=1), Actor(), feed=feed))
    assert any(f"{method}() of the feed" in note for note in found.value.__notes__)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (lambda: {"feed": ListFeed}, "an object with claim"),
        (lambda: {"feed": ListFeed("toy/0")}, "list of the ids"),
        (lambda: {"feed": ListFeed(None)}, "list of the ids"),  # type: ignore[arg-type]
        (lambda: {"feed": ListFeed([3])}, "problem=3"),  # type: ignore[list-item]
        (lambda: {"feed": ListFeed([]), "limit": 1}, r"limit=1\): the feed says"),
        (lambda: {"feed": ListFeed([]), "problems": ["toy/0"]}, "the feed says"),
        (lambda: {"problems": []}, "nothing would be played"),
    ],
)
def test_problems_that_make_no_sense_are_refused(options: Callable[[], dict[str, Any]], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        mars2_env.rollout(task(), Actor(), **options())
