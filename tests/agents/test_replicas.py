"""Several policies of one model as one: trees stay together, and move on when a replica is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from mars2_agents import Replicas

from mars2_env.errors import ConfigError, PolicyError, PolicyUnavailableError
from mars2_env.types import Generates, Given, Gives, Identified, Limited, Limits, PublicView, Reply, Stdin, Turn


class Replica:
    """Says which turns it was asked, and does as it is told."""

    def __init__(self, name: str = "model", *, concurrency: int = 4) -> None:
        self.identity = name
        self.concurrency = concurrency
        self.gives: Sequence[Given] = ("token_ids", "logprobs")
        self.asked: list[str] = []
        self.weights: list[tuple[str, int]] = []
        self.error: Exception | None = None
        self.closed = 0

    def act(self, turns: list[Turn]) -> list[Reply]:
        if self.error:
            raise self.error
        self.asked += [turn.problem.id for turn in turns]
        return [Reply(f"{turn.problem.id} {turn.seed}") for turn in turns]

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        await asyncio.sleep(0)
        return self.act([turn])[0]

    def update_weights(self, path: str, version: int) -> None:
        self.weights.append((path, version))

    async def aupdate_weights(self, path: str, version: int) -> None:
        self.update_weights(path, version)

    def close(self) -> None:
        self.closed += 1


def turn(problem: int, seed: int = 0) -> Turn:
    return Turn(0, "coder_0", PublicView(str(problem), "s", Stdin(), (), "", Limits()), seed, (), 0, (0,))


def test_all_turns_of_a_problem_go_to_one_replica_and_problems_spread() -> None:
    replicas = [Replica() for _ in range(3)]
    policy = Replicas(replicas)
    for seed in range(4):
        policy.act([turn(problem, seed) for problem in range(9)])
    assert [len(set(one.asked)) for one in replicas] == [3, 3, 3]
    assert [len(one.asked) for one in replicas] == [12, 12, 12]


def test_turns_one_at_a_time_stay_with_the_replica_of_their_tree() -> None:
    replicas = [Replica() for _ in range(2)]
    policy = Replicas(replicas)

    async def ask() -> None:
        for seed in range(3):
            await asyncio.gather(*(policy.generate(turn(problem, seed), priority=0) for problem in range(6)))

    asyncio.run(ask())
    assert {len(set(one.asked)) for one in replicas} == {3}
    assert not set(replicas[0].asked) & set(replicas[1].asked)


def test_replies_come_in_the_order_of_the_turns() -> None:
    policy = Replicas([Replica(), Replica(), Replica()])
    assert [reply.text for reply in policy.act([turn(problem) for problem in range(10)])] == [
        f"{problem} 0" for problem in range(10)
    ]


def test_the_trees_of_a_replica_that_is_gone_go_to_the_others() -> None:
    replicas = [Replica() for _ in range(2)]
    policy = Replicas(replicas)
    turns = [turn(problem) for problem in range(6)]
    policy.act(turns)
    replicas[0].error = PolicyUnavailableError("gone")
    assert [reply.text for reply in policy.act(turns)] == [f"{problem} 0" for problem in range(6)]
    assert asyncio.run(policy.generate(turn(0), priority=0)).text == "0 0"
    assert policy.alive == (1,)
    assert policy.concurrency == 4
    assert set(replicas[1].asked) == set(map(str, range(6)))


def test_a_replica_that_came_back_is_asked_again_when_that_is_said() -> None:
    replicas = [Replica(), Replica()]
    policy = Replicas(replicas)
    replicas[0].error = PolicyUnavailableError("gone")
    policy.act([turn(problem) for problem in range(4)])
    replicas[0].error = None
    policy.revive()
    policy.act([turn(problem) for problem in range(4, 12)])
    assert replicas[0].asked


def test_without_any_replica_the_turn_fails() -> None:
    replicas = [Replica(), Replica()]
    for one in replicas:
        one.error = PolicyUnavailableError("no power")
    policy = Replicas(replicas)
    with pytest.raises(PolicyUnavailableError, match=r"all 2 replicas are gone; the last: no power"):
        policy.act([turn(0), turn(1)])
    with pytest.raises(PolicyUnavailableError, match="all 2 replicas are gone"):
        asyncio.run(policy.generate(turn(0), priority=0))


def test_a_turn_that_is_refused_takes_no_replica_away() -> None:
    replicas = [Replica(), Replica()]
    for one in replicas:
        one.error = PolicyError("no such setting")
    policy = Replicas(replicas)
    with pytest.raises(PolicyError, match="no such setting"):
        policy.act([turn(0)])
    assert policy.alive == (0, 1)


def test_replicas_have_the_abilities_of_one_and_the_room_of_all() -> None:
    policy = Replicas([Replica(concurrency=4), Replica(concurrency=6)])
    assert all(isinstance(policy, ability) for ability in (Generates, Limited, Gives, Identified))
    assert policy.identity == "model"
    assert policy.concurrency == 10
    assert set(policy.gives) == {"token_ids", "logprobs"}


def test_new_weights_go_to_every_replica_and_closing_closes_all() -> None:
    replicas = [Replica(), Replica()]
    policy = Replicas(replicas)
    policy.update_weights("/w", 1)
    asyncio.run(policy.aupdate_weights("/w", 2))
    policy.close()
    assert [one.weights for one in replicas] == [[("/w", 1), ("/w", 2)]] * 2
    assert [one.closed for one in replicas] == [1, 1]


def test_replicas_of_different_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="not the same policy"):
        Replicas([Replica("a"), Replica("b")])
    with pytest.raises(ConfigError, match="at least one"):
        Replicas([])


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ("ab", "give a list of policies"),
        (None, "give a list of policies"),
        (Replica(), "give a list of policies"),
        ([Replica(), 3], "3 is no policy"),
        ([Replica], "is no policy"),
        ([], "at least one"),
    ],
)
def test_what_replicas_cannot_be_made_of_is_said_at_once(policies: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Replicas(policies)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("late")])
def test_a_replica_whose_connection_fails_is_gone_too(error: Exception) -> None:
    replicas = [Replica(), Replica()]
    replicas[0].error = error
    policy = Replicas(replicas)
    assert len(policy.act([turn(problem) for problem in range(4)])) == 4
    assert policy.alive == (1,)
    replicas[1].error = error
    with pytest.raises(PolicyUnavailableError, match=f"all 2 replicas are gone; the last: {error}"):
        asyncio.run(policy.generate(turn(0), priority=0))
