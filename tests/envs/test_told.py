"""Cards and clues: what observations tell besides the tree, to whom, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, PolicyError, PublicView
from mars2_env.base.keys import generator
from mars2_env.features import Layout

AGENTS = ("agent_0", "agent_1")


class Skilled(Guesser):
    """A generator that draws what is on an agent's card anew for each tree."""

    card_size = 2

    def card(self, tree_seed: int, problem: PublicView, agent: str) -> Any:
        """Return two numbers that depend on tree, problem and agent."""
        return generator("card", tree_seed, problem.id, agent).random(2)


@dataclass(frozen=True)
class Parity:
    """Clues that tell whether the problem's number is odd, and a constant."""

    second: float = 0.25
    size: int = 2

    def __call__(self, problem: PublicView) -> Any:
        """Return two numbers."""
        return int(problem.id.rpartition("/")[2]) % 2, self.second


def place(api: Any = "parallel", **options: Any) -> Any:
    options = {"generators": Skilled(), "budget": 4, **options}
    return mars2_env.make(problem_set(), game="place", api=api, sandbox=sandbox(), **options)


def named(layout: Layout, vector: Any) -> dict[str, float]:
    return dict(zip(layout.names, vector.tolist(), strict=True))


def test_cards_stand_right_before_the_slots_and_clues_right_after_the_numbers_of_the_tree() -> None:
    names = Layout(4, AGENTS, observer=True, rounds=True, card=2, clues=2).names
    assert names[:7] == [
        *("budget_left", "best_score", "rounds_left", "clue.0", "clue.1"),
        *("agent_0.self", "agent_1.self"),
    ]
    place = names.index("slot0.present")
    assert names[place - 3 : place] == ["agent_1.best", "card.0", "card.1"]


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_each_agent_sees_its_own_card_of_this_tree_and_nobody_elses(api: str) -> None:
    env = place(api, cards=True)
    layout = Layout(4, AGENTS, observer=True, card=2)
    seen = set()
    for seed, problem in ((0, "toy/1"), (0, "toy/2"), (1, "toy/1")):
        env.reset(seed=seed, options={"problem": problem})
        for _ in range(2):
            for agent in AGENTS:
                observation = env.observe(agent)
                assert env.observation_space(agent).contains(observation)
                found = named(layout, observation["observation"])
                card = Skilled().card(env.episode.tree_seed, env.episode.problem, agent).astype(np.float32)
                assert [found["card.0"], found["card.1"]] == card.tolist()
                seen.add(found["card.0"])
            env.step(0 if api == "aec" else dict.fromkeys(AGENTS, 0))
    assert len(seen) == 6


def test_cards_are_not_in_the_state_and_change_nothing_else() -> None:
    dealt, plain = place(cards=True), place()
    for env in (dealt, plain):
        env.reset(seed=3)
        env.step(dict.fromkeys(AGENTS, 0))
    assert np.array_equal(dealt.state(), plain.state())
    assert dealt.state_space == plain.state_space
    layout = Layout(4, AGENTS, observer=True, card=2)
    whole = dealt.observe("agent_1")["observation"]
    without = np.delete(whole, [layout.names.index("card.0"), layout.names.index("card.1")])
    assert np.array_equal(without, plain.observe("agent_1")["observation"])
    assert dealt.episode.nodes == plain.episode.nodes


class Bare(Guesser):
    """A generator without a card."""


class Three(Skilled):
    """A generator with a longer card."""

    card_size = 3


class Blank(Skilled):
    """A generator whose card has no numbers."""

    card_size = 0


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        (Bare(), r"cards=True: the generator of agent_0.*shows none; it needs card_size"),
        ([Skilled(), Bare()], r"the generator of agent_1"),
        ([Skilled(), Three()], r"'agent_0': 2, 'agent_1': 3"),
        (Blank(), r"the generator of agent_0\(card_size=0\): must be a whole number of at least 1"),
    ],
)
def test_generators_without_a_card_that_all_can_have_are_refused_at_make(generators: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        place(generators=generators, cards=True)
    with pytest.raises(ConfigError, match=message):
        mars2_env.make_vec(
            problem_set(), 2, game="place", api="parallel", generators=generators, cards=True, sandbox=sandbox()
        )


@pytest.mark.parametrize("card", [[0.5], [0.5, 1.5], [0.5, float("nan")], [0.5, True], None, 0.5, ["a", "b"]])
def test_a_card_that_is_not_so_many_shares_is_an_error_that_names_its_agent(card: Any) -> None:
    class Cheats(Skilled):
        def card(self, tree_seed: int, problem: PublicView, agent: str) -> Any:
            return card

    env = place(generators=[Skilled(), Cheats()], cards=True)
    with pytest.raises(PolicyError, match=r"the card of agent_1 by .* is not 2 numbers from 0 to 1"):
        env.reset(seed=0)


@pytest.mark.parametrize("game", ["write", "play", "route"])
def test_cards_are_refused_in_other_games(game: Any) -> None:
    with pytest.raises(ConfigError, match="cards=True"):
        mars2_env.task(problem_set(), game=game, cards=True)


@pytest.mark.parametrize("game", ["place", "route"])
def test_clues_are_told_to_every_observer_and_in_the_state(game: Any) -> None:
    options: dict[str, Any] = {"sandbox": sandbox(), "budget": 4, "generators": Guesser(), "clues": Parity()}
    env: Any = mars2_env.make(problem_set(), game=game, **options)
    for problem, odd in (("toy/1", 1.0), ("toy/2", 0.0), ("toy/3", 1.0)):
        env.reset(seed=0, options={"problem": problem})
        vectors = [(env.state(), False)]
        if game == "place":
            vectors += [(env.observe(agent)["observation"], True) for agent in AGENTS]
        else:
            vectors.append((env.observation()["observation"], False))
            assert env.observation_space.contains(env.observation())
        assert env.state_space.contains(env.state())
        for vector, observer in vectors:
            found = named(Layout(4, AGENTS, observer=observer, clues=2), vector)
            assert (found["clue.0"], found["clue.1"]) == (odd, 0.25)


def test_clues_are_named_in_the_configuration_of_a_task_and_in_its_logs(tmp_path: Path) -> None:
    class Fingerprint(Parity):
        identity = "templates:v1"

    def config(**options: Any) -> dict[str, Any]:
        return mars2_env.task(problem_set(), game="place", **options).config()

    assert config(clues=Parity())["clues"] == "Parity(second=0.25, size=2)"
    assert config(clues=Fingerprint())["clues"] == "templates:v1"
    assert config(cards=True)["cards"] is True
    assert not {"clues", "cards"} & set(config())
    env = place(clues=Fingerprint(), out=tmp_path)
    env.reset(seed=0)
    env.close()
    (tree,) = mars2_env.read_log(tmp_path)
    assert tree.header.task["clues"] == "templates:v1"


@pytest.mark.parametrize(
    ("clues", "message"),
    [
        (Parity, "is not an object with size"),
        (lambda problem: [0.5], "is not an object with size"),
        ("length", "is not an object with size"),
        (Parity(size=0), r"clues\(size=0\): must be a whole number of at least 1"),
    ],
)
def test_what_are_no_clues_is_refused_at_make(clues: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        place(clues=clues)


@pytest.mark.parametrize("game", ["write", "play"])
def test_clues_are_refused_where_observations_are_texts(game: Any) -> None:
    with pytest.raises(ConfigError, match="clues=Parity"):
        mars2_env.task(problem_set(), game=game, clues=Parity())


@pytest.mark.parametrize("clues", [Parity(size=3), Parity(second=1.01), Parity(second=-1)])
def test_clues_that_are_not_so_many_shares_are_an_error_that_names_the_problem(clues: Parity) -> None:
    env = place(clues=clues)
    with pytest.raises(ConfigError, match=r"the clues Parity.*on 'toy/1'.* is not \d numbers from 0 to 1"):
        env.reset(seed=0, options={"problem": "toy/1"})


def test_a_task_of_another_game_forgets_cards_and_clues_and_a_changed_one_keeps_them() -> None:
    task = mars2_env.task(problem_set(), game="place", generators=Skilled(), cards=True, clues=Parity())
    longer = mars2_env.task(task, budget=12)
    assert (longer.cards, longer.clues) == (True, Parity())
    moved = mars2_env.task(task, game="write")
    assert (moved.cards, moved.clues) == (False, None)


def test_a_vector_shows_what_each_environment_would_show_alone() -> None:
    options: dict[str, Any] = {"agents": 2, "budget": 4, "sandbox": sandbox(), "clues": Parity()}
    task = mars2_env.task(
        problem_set(), game="place", api="parallel", generators=Skilled(), cards=True, rounds=3, **options
    )
    many: Any = mars2_env.make_vec(task, 3)
    alone: list[Any] = [mars2_env.make(task) for _ in range(3)]
    seen, _ = many.reset(seed=7)
    each = [env.reset(seed=7 + number)[0] for number, env in enumerate(alone)]
    for _ in range(2):
        for agent in AGENTS:
            assert many.observation_space(agent).contains(seen[agent])
            assert np.array_equal(seen[agent]["observation"], np.stack([one[agent]["observation"] for one in each]))
        assert np.array_equal(many.state(), np.stack([env.state() for env in alone]))
        seen = many.step({agent: np.array([0, 5, 0]) for agent in AGENTS})[0]
        each = [env.step(dict.fromkeys(AGENTS, slot))[0] for env, slot in zip(alone, (0, 5, 0), strict=True)]
    route: Any = mars2_env.make_vec(problem_set(), 2, game="route", generators=Guesser(), **options)
    observations, _ = route.reset(seed=7)
    assert route.observation_space.contains(observations)
    assert np.array_equal(observations["observation"], np.stack([env.state() for env in route.envs]))


def test_an_environment_with_cards_and_clues_can_be_pickled() -> None:
    env = place(cards=True, clues=Parity(), rounds=3)
    first, _ = env.reset(seed=5)
    copied = pickle.loads(pickle.dumps(env))
    second, _ = copied.reset(seed=5)
    for agent in AGENTS:
        assert np.array_equal(first[agent]["observation"], second[agent]["observation"])
