"""`place` with rounds: agents may pass and share a budget; what a pass is to the tree, the log, rewards and vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import FaultySandbox, Guesser, problem, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Episode, LogError, Reply, Rules, Turn, Verdict
from mars2_env.envs import RoundsVector, TreeSearchParallel
from mars2_env.episode import PASS, Asked, Event, Passed
from mars2_env.features import Layout
from mars2_env.log import LogWriter

AGENTS = ("agent_0", "agent_1", "agent_2")
BUDGET = 7
WAIT = BUDGET + 1
WRONG = Verdict(groups={"public": ("wrong_answer", "not_run"), "scoring": ("passed",)})


def task(api: Any = "parallel", box: Any = None, **options: Any) -> mars2_env.Task:
    options = {"agents": 3, "generators": Guesser(), "budget": BUDGET, "rounds": 5, **options}
    return mars2_env.task(problem_set(), game="place", api=api, sandbox=box or sandbox(), **options)


def rounds(box: Any = None, **options: Any) -> TreeSearchParallel:
    made = mars2_env.make(task("parallel", box, **options))
    assert isinstance(made, TreeSearchParallel)
    return made


def each(*actions: int) -> dict[str, int]:
    return dict(zip(AGENTS, actions, strict=True))


def test_the_last_action_is_to_pass_and_the_mask_always_allows_it() -> None:
    env = rounds()
    observations, infos = env.reset(seed=0)
    for size in (1, 3, 5, 7):
        wanted = [1] * size + [0] * (BUDGET + 1 - size) + [1]
        for agent in AGENTS:
            assert observations[agent]["action_mask"].tolist() == infos[agent]["action_mask"].tolist() == wanted
            assert env.observation_space(agent).contains(observations[agent])
            assert env.action_space(agent) == Discrete(BUDGET + 2)
        if env.agents:
            observations, _, _, _, infos = env.step(each(0, WAIT, 0))


def test_a_pass_costs_nothing_adds_nothing_and_earns_nothing_whatever_the_reward_is() -> None:
    asked: list[Turn] = []

    class Notes(Guesser):
        def act(self, turns: list[Turn]) -> list[Reply]:
            asked.extend(turns)
            return super().act(turns)

    env = rounds(generators=Notes(), reward=lambda episode: lambda agent, node: -1.0, share="team")
    env.reset(seed=0)
    before = env.state()
    _, rewards, terminations, _, infos = env.step(each(WAIT, WAIT, WAIT))
    assert (env.episode.spent, env.episode.nodes, asked) == (0, [], [])
    assert set(rewards.values()) == {0.0}
    assert not any(terminations.values())
    assert [infos[agent]["outcome"] for agent in AGENTS] == ["pass"] * 3
    changed = np.flatnonzero(env.state() != before)
    assert [Layout(BUDGET, AGENTS, observer=False, rounds=True).names[place] for place in changed] == ["rounds_left"]
    _, rewards, _, _, infos = env.step(each(WAIT, 0, WAIT))
    assert rewards == dict.fromkeys(AGENTS, -1.0)
    assert "node" not in infos["agent_0"]
    assert infos["agent_1"]["node"] == 1


def test_a_tree_ends_after_its_rounds_whatever_is_left_of_the_budget() -> None:
    env = rounds(rounds=3)
    env.reset(seed=0)
    names = Layout(BUDGET, AGENTS, observer=True, rounds=True).names
    left = []
    while env.agents:
        observations, _, terminations, truncations, _ = env.step(each(0, WAIT, WAIT))
        left.append(float(observations["agent_2"]["observation"][names.index("rounds_left")]))
    assert all(terminations.values()) and not any(truncations.values())
    assert (len(env.episode.nodes), env.episode.ended, env.episode.end_detail) == (3, "budget", "rounds: 3 of 3")
    assert left == [np.float32(2 / 3), np.float32(1 / 3), 0.0]


def test_where_the_budget_is_short_agents_are_served_in_order_and_nobody_is_asked_in_vain() -> None:
    generators = [Guesser(), Guesser(), Guesser()]
    env = rounds(generators=generators, rounds=9)
    env.reset(seed=0)
    for actions in (each(0, 0, 0), each(0, 0, WAIT), each(WAIT, 0, WAIT)):
        env.step(actions)
    asked = [len(generator.turns) for generator in generators]
    _, rewards, terminations, _, infos = env.step(each(WAIT, 1, 1))  # one node is left
    assert [len(generator.turns) for generator in generators] == [asked[0], asked[1] + 1, asked[2]]
    assert [infos[agent]["outcome"] for agent in AGENTS] == ["pass", env.episode.nodes[-1].verdict.outcome, "cancelled"]
    assert rewards["agent_2"] == 0.0
    assert all(terminations.values())
    assert (env.episode.spent, env.episode.end_detail) == (BUDGET, "nodes: 7 of 7")
    assert env.episode.rounds_over == 3  # the last one was cut off


def test_an_illegal_slot_still_costs_an_expansion() -> None:
    env = rounds()
    env.reset(seed=0)
    _, _, _, _, infos = env.step(each(WAIT, BUDGET, WAIT))
    assert infos["agent_1"]["outcome"] == "illegal"
    assert (env.episode.spent, len(env.episode.nodes)) == (1, 0)


@pytest.mark.parametrize("action", [1.5, None, "0", True])
def test_a_wrong_action_is_refused_of_one_too_that_would_not_be_served(action: Any) -> None:
    env = rounds(budget=1)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="agent_2: an action must be a whole number"):
        env.step({**each(0, 0, 0), "agent_2": action})
    assert (env.episode.spent, len(env.episode.open)) == (0, 3)
    env.step(each(2, 2, 0))  # to pass is number budget + 1
    assert [node.agent for node in env.episode.nodes] == ["agent_2"]


def choices(seed: int, count: int = 15) -> list[dict[str, int]]:
    """Rounds of actions; any of them may be illegal."""
    rng = np.random.default_rng(seed)
    return [dict(zip(AGENTS, rng.choice([WAIT, 0, 1, 2, BUDGET], 3).tolist(), strict=True)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(6))
def test_agents_that_act_one_after_the_other_grow_the_tree_of_rounds(seed: int) -> None:
    """As long as nobody chooses a node that was not there when the round began."""
    together = rounds()
    apart: Any = mars2_env.make(task("aec"))
    together.reset(seed=seed)
    apart.reset(seed=seed)
    paid, found = dict.fromkeys(AGENTS, 0.0), dict.fromkeys(AGENTS, 0.0)
    for actions in choices(seed):
        there = len(together.episode.tree)
        actions = {agent: slot if slot < there else max(slot, BUDGET) for agent, slot in actions.items()}
        _, rewards, _, _, _ = together.step(actions)
        for agent in AGENTS:
            paid[agent] += rewards[agent]
            if not apart.episode.done:
                assert apart.agent_selection == agent
                apart.step(actions[agent])
                for name, reward in apart.rewards.items():
                    found[name] += reward
        if not together.agents:
            break
    assert apart.episode.done
    assert apart.episode.nodes == together.episode.nodes
    assert (apart.episode.end_detail, found) == (together.episode.end_detail, paid)
    assert np.array_equal(apart.state(), together.state())


def play(env: Any, seed: int) -> None:
    """Play one episode of random actions."""
    env.reset(seed=seed)
    for actions in choices(seed):
        if isinstance(env, TreeSearchParallel):
            env.step(actions)
        for agent in () if isinstance(env, TreeSearchParallel) else AGENTS:
            if not env.episode.done:
                env.step(actions[agent])
        if env.episode.done:
            break
    env.close()


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_logs_with_passes_replay_and_repeat_byte_for_byte(api: str, tmp_path: Path) -> None:
    for name, box in (("first", sandbox()), ("again", sandbox()), ("shaken", FaultySandbox(1))):
        play(mars2_env.make(task(api, box, out=tmp_path / name)), 3)
    first, again, shaken = (mars2_env.read_log(tmp_path / name)[0] for name in ("first", "again", "shaken"))
    assert any(isinstance(event, Passed) for event in first.events)
    assert first.path is not None and again.path is not None
    assert first.path.read_bytes() == again.path.read_bytes()
    for tree in (first, shaken):
        assert mars2_env.replay(tree) == tree
        assert tree.header.schema == 2
    if api == "parallel":  # a fault is retried inside the step; elsewhere the next action is another one
        assert shaken.nodes == first.nodes


def test_logs_of_games_without_passes_are_of_the_old_schema_and_do_not_name_what_is_new(tmp_path: Path) -> None:
    play(rounds(rounds=None, budget=6, out=tmp_path), 0)
    (tree,) = mars2_env.read_log(tmp_path)
    assert tree.header.schema == 1
    assert not {"rounds", "generators_observe"} & set(tree.header.task["rules"])
    assert not {"cards", "clues"} & set(tree.header.task)


def test_a_pass_in_a_log_of_a_game_without_passes_is_refused(tmp_path: Path) -> None:
    play(rounds(rounds=None, budget=6, out=tmp_path), 0)
    (tree,) = mars2_env.read_log(tmp_path)
    assert tree.path is not None
    lines = tree.path.read_bytes().splitlines(keepends=True)
    assert b'"asked"' in lines[1]
    tree.path.write_bytes(lines[0] + lines[1] + b'{"event":"passed","turn":0}\n')
    with pytest.raises(LogError, match=r"line 3: .*turn 0 was let pass"):
        mars2_env.read_log(tmp_path)


def driven(events: list[Event], seed: int) -> Episode:
    """An episode that goes on from its first events as its actions, which the number of the turn decides, would."""
    told = list(events)
    rules = Rules(game="place", score_on="scoring", rounds=5)
    episode = Episode(problem(1).public_view(), AGENTS, None, BUDGET, seed, rules=rules, on_event=told.append)
    for event in events:
        episode.apply(event)
    episode.settle()
    rng = np.random.default_rng(seed)
    numbers = rng.choice([WAIT, 0, 1, BUDGET], 100).tolist()
    while not episode.done:
        if not episode.open:
            episode.ask()
        turn = next(iter(episode.pending.values()))
        episode.tell(turn, Reply(f"print({turn.id})", numbers[turn.id]), WRONG)
    events[:] = told
    return episode


@pytest.mark.parametrize("seed", range(3))
def test_from_any_event_of_a_log_an_episode_goes_on_to_the_same_end(seed: int) -> None:
    whole: list[Event] = []
    end = driven(whole, seed)
    assert any(isinstance(event, Passed) for event in whole)
    for cut in range(len(whole)):
        events = whole[:cut]
        again = driven(events, seed)
        assert events == whole
        assert {agent: again.account(agent) for agent in AGENTS} == {agent: end.account(agent) for agent in AGENTS}


def test_passes_are_counted_apart_from_expansions_and_change_the_luck_of_the_next_choice_alone() -> None:
    rules = Rules(game="place", score_on="scoring", rounds=5)
    episode = Episode(problem(1).public_view(), ["a_0"], None, BUDGET, 0, rules=rules)
    first = episode.ask()
    assert episode.tell(first, Reply("", WAIT), PASS) is None
    second = episode.ask()
    assert second.seed != first.seed
    assert second.at(0).seed == first.at(0).seed
    episode.tell(second, Reply("print(1)", 0), WRONG)
    account = episode.account("a_0")
    assert (account.rounds, account.passes, account.expansions, account.nodes) == (2, 1, 1, 1)


def test_a_fault_in_a_round_is_retried_beside_a_pass_and_lasting_ones_truncate() -> None:
    env = rounds(FaultySandbox(1))
    env.reset(seed=0)
    _, _, _, _, infos = env.step(each(WAIT, 0, 0))
    assert infos["agent_0"]["outcome"] == "pass"
    assert sum("fault" in infos[agent] for agent in AGENTS) == 1
    assert len(env.episode.nodes) == 2
    env = rounds(FaultySandbox(10**6))
    env.reset(seed=0)
    _, _, terminations, truncations, infos = env.step(each(WAIT, 0, WAIT))
    assert all(truncations.values()) and not any(terminations.values())
    assert "outcome" not in infos["agent_1"]


def test_after_a_fault_the_same_agent_may_pass() -> None:
    env: Any = mars2_env.make(task("aec", FaultySandbox(1)))
    env.reset(seed=0)
    env.step(0)
    assert env.agent_selection == "agent_0"
    assert "fault" in env.infos["agent_0"]
    env.step(WAIT)
    assert env.infos["agent_0"]["outcome"] == "pass"
    assert (env.agent_selection, env.episode.spent) == ("agent_1", 0)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_a_vector_plays_what_each_environment_would_play_alone(mode: str) -> None:
    many: Any = mars2_env.make_vec(task(), 3, autoreset_mode=mode)
    assert isinstance(many, RoundsVector)
    alone = [rounds() for _ in range(3)]
    many.reset(seed=5)
    for number, env in enumerate(alone):
        env.reset(seed=5 + number)
    for number in range(5):
        actions = [choices(10 + place)[number] for place in range(3)]
        batch = {agent: np.array([one[agent] for one in actions]) for agent in AGENTS}
        observations, rewards, terminated, _, infos = many.step(batch)
        for place, (env, one) in enumerate(zip(alone, actions, strict=True)):
            seen, paid, ended, _, told = env.step(one)
            for agent in AGENTS:
                assert (rewards[agent][place], bool(terminated[agent][place])) == (paid[agent], ended[agent])
                if mode == "SameStep" and ended[agent]:
                    last = infos[agent]["final_obs"][place]["observation"]
                    outcome = infos[agent]["final_info"]["outcome"][place]
                else:
                    last, outcome = observations[agent]["observation"][place], infos[agent]["outcome"][place]
                assert np.array_equal(last, seen[agent]["observation"])
                assert outcome == told[agent]["outcome"]
        if terminated["agent_0"].any():
            break
    assert terminated["agent_0"].any()


def test_a_vector_asks_no_generator_for_who_is_not_served() -> None:
    generator = Guesser()
    many: Any = mars2_env.make_vec(task(budget=1, generators=generator), 4)
    many.reset(seed=0)
    _, _, terminated, _, infos = many.step({agent: np.zeros(4, np.int64) for agent in AGENTS})
    assert terminated["agent_0"].all()
    assert [turn.agent for turn in generator.turns] == ["agent_0"] * 4
    assert infos["agent_2"]["outcome"].tolist() == ["cancelled"] * 4


actions_of_a_round = st.tuples(*[st.integers(0, WAIT)] * 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**40), st.lists(actions_of_a_round, min_size=6, max_size=6), st.booleans(), st.integers(1, 6))
def test_whatever_agents_do_the_tree_keeps_its_limits(
    seed: int, actions: list[tuple[int, int, int]], stop: bool, limit: int
) -> None:
    env = rounds(rounds=limit, stop_on_solved=stop, score="fraction")
    observations, _ = env.reset(seed=seed)
    names = Layout(BUDGET, AGENTS, observer=True, rounds=True).names
    total = 0.0
    for number, chosen in enumerate(actions[:limit]):
        assert observations["agent_1"]["observation"][names.index("rounds_left")] == np.float32(1 - number / limit)
        observations, rewards, terminations, _, infos = env.step(each(*chosen))
        total += sum(rewards.values())
        for agent, action in each(*chosen).items():
            if infos[agent]["outcome"] == "pass":
                assert action == WAIT
            if infos[agent]["outcome"] == "cancelled":
                assert terminations[agent]
        if not env.agents:
            break
    episode = env.episode
    assert episode.done
    assert episode.spent <= BUDGET
    assert episode.rounds_over <= limit
    assert total == pytest.approx(episode.best_score)
    assert mars2_env.replay(env.match.tree()) == env.match.tree()


@pytest.mark.parametrize("game", ["write", "play", "route"])
def test_rounds_are_refused_where_nobody_may_pass(game: Any) -> None:
    with pytest.raises(ConfigError, match=r"rounds=3 in game=.*'place' alone"):
        mars2_env.task(problem_set(), game=game, rounds=3)


def test_a_budget_that_is_no_whole_rounds_asks_for_rounds_and_a_task_of_another_game_forgets_them() -> None:
    with pytest.raises(ConfigError, match="use a multiple of 3, or rounds="):
        task(rounds=None)
    with pytest.raises(ConfigError, match="rounds=0: must be a whole number of at least 1"):
        task(rounds=0)
    moved = mars2_env.task(task(), game="write")
    assert moved.rules.rounds is None


def test_a_run_of_another_number_of_rounds_is_another_configuration(tmp_path: Path) -> None:
    play(rounds(out=tmp_path), 0)
    (tree,) = mars2_env.read_log(tmp_path)
    assert tree.path is not None
    with pytest.raises(LogError, match=r"task\.rules\.rounds"):
        LogWriter(tree.path, task(rounds=6).header(tree.problem, 0, tree.header.sandbox))


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_every_turn_of_a_tree_has_its_seed(api: str) -> None:
    generator = Guesser()
    env: Any = mars2_env.make(task(api, generators=generator))
    seeds = set()
    for seed, name in ((3, "toy/0"), (3, "toy/1"), (4, "toy/0")):
        generator.turns.clear()
        env.reset(seed=seed, options={"problem": name})
        for actions in choices(1):
            if api == "parallel":
                env.step(actions)
            else:
                for agent in AGENTS:
                    if not env.episode.done:
                        env.step(actions[agent])
            if env.episode.done:
                break
        found = {turn.tree_seed for turn in generator.turns}
        assert found == {env.episode.tree_seed}
        seeds |= found
    assert len(seeds) == 3
    assert all(0 <= one < 2**63 for one in seeds)


def test_the_seed_of_a_tree_is_the_same_in_every_game() -> None:
    view = problem(1).public_view()
    found = {
        Episode(view, agents, selector, 4, 7, rules=Rules(game=game)).tree_seed  # type: ignore[arg-type]
        for game, agents, selector in (("write", ["x_0"], "uct"), ("place", AGENTS, None), ("route", AGENTS, None))
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("observe", "generators", "shown"), [("own", "all", True), ("own", None, False), ("all", "own", False)]
)
@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_generators_may_be_shown_more_or_less_than_controllers(
    observe: str, generators: str | None, shown: bool, api: str
) -> None:
    author = Guesser()
    env: Any = mars2_env.make(
        task(api, generators=author, observe=observe, generators_observe=generators, rounds=None, budget=6)
    )
    env.reset(seed=0)
    if api == "parallel":
        env.step(each(0, 0, 0))
        env.step(each(2, 1, 1))
    else:
        for slot in (0, 0, 0, 2):
            env.step(slot)
    refined = next(turn for turn in author.turns if turn.agent == "agent_0" and turn.parent == 2)
    assert (refined.program == env.episode.node(2).program) is shown
    names = Layout(6, AGENTS, observer=True).names
    outcome = names.index(f"slot2.{env.episode.node(2).verdict.outcome}")
    assert env.observe("agent_1")["observation"][outcome] == 1.0
    assert env.observe("agent_0")["observation"][outcome] == (observe == "all")


def test_what_generators_are_shown_is_in_the_rules_of_a_log_where_it_is_said(tmp_path: Path) -> None:
    env = rounds(observe="own", generators_observe="all", rounds=None, budget=3, out=tmp_path)
    env.reset(seed=0)
    env.step(each(0, 0, 0))
    env.close()
    (tree,) = mars2_env.read_log(tmp_path)
    assert tree.header.task["rules"]["generators_observe"] == "all"
    assert mars2_env.replay(tree) == tree
    for game in ("write", "play"):
        with pytest.raises(ConfigError, match="generators_observe='all' in game="):
            mars2_env.task(problem_set(), game=game, generators_observe="all")
    for made in (tree.header.task["rules"], {"game": "place", "rounds": 3}):
        assert Rules(**made).config() == Rules(**Rules(**made).config()).config()


def test_asked_events_come_for_all_agents_of_a_round_even_where_the_budget_is_short() -> None:
    env = rounds(budget=1)
    env.reset(seed=0)
    assert [event.agent for event in env.match.events if isinstance(event, Asked)] == list(AGENTS)
