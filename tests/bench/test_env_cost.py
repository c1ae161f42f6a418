"""The benchmark of environments measures what it says, with environments that are really played."""

from __future__ import annotations

import pytest
from mars2_bench.speed import env_cost


@pytest.mark.parametrize(("game", "api"), [*env_cost.GAMES, env_cost.ROUTE])
def test_every_game_is_driven_through_whole_episodes(game: str, api: str) -> None:
    watch = env_cost.Stopwatch()
    driver = env_cost.Driver(env_cost.make(game, api, env_cost.TimedSandbox(watch), watch, 4))
    driver.reset()
    assert sum(driver.step() for _ in range(12)) >= 12
    assert watch.seconds > 0


def test_programs_are_never_the_same_twice() -> None:
    texts = env_cost.programs()
    assert len({next(texts) for _ in range(600)}) == 600


@pytest.mark.slow
@pytest.mark.docker
def test_the_benchmark_prints_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert env_cost.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    for row in ("| write | aec |", "| play | parallel |", "| place | aec | chain |", "| route | vector of 8 |"):
        assert row in printed
