"""Environments: rewards, ends, faults, infos, errors, and the log they share with the rollout engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import FaultySandbox, Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, EpisodeError, LogError, SandboxError
from mars2_env.envs import TreeSearchAEC, TreeSearchParallel, spaces
from mars2_env.envs.spaces import AnyText, fit
from mars2_env.log import log_path


def aec(box: Any = None, **options: Any) -> TreeSearchAEC:
    made = mars2_env.make(problem_set(), sandbox=box or sandbox(), **options)
    assert isinstance(made, TreeSearchAEC)
    return made


def parallel(box: Any = None, **options: Any) -> TreeSearchParallel:
    made = mars2_env.make(problem_set(), game="play", api="parallel", sandbox=box or sandbox(), **options)
    assert isinstance(made, TreeSearchParallel)
    return made


def program(number: int) -> dict[str, Any]:
    return {"program": f"print({number})"}


def play(env: TreeSearchAEC, numbers: list[int], **first: Any) -> list[tuple[str, float]]:
    """Write the numbers turn by turn; return who got what at each step."""
    paid = []
    for number in numbers:
        actor = env.agent_selection
        env.step({**program(number), **first})
        paid += [(agent, reward) for agent, reward in env.rewards.items() if reward]
        assert actor in env.possible_agents
    return paid


def test_progress_telescopes_to_the_best_score_and_is_paid_once() -> None:
    env = aec(budget=4, agents=1)
    env.reset(seed=0, options={"problem": "toy/2"})
    assert play(env, [7, 2, 3, 2]) == [("agent_0", 1.0)]
    assert env.terminations == {"agent_0": True}


def test_score_pays_every_right_program_but_no_copy_of_one() -> None:
    env = aec(budget=4, agents=1, reward="score")
    env.reset(seed=0, options={"problem": "toy/2"})
    play(env, [2])
    assert env.rewards["agent_0"] == 1.0
    env.step({"program": "print( 2 )"})
    assert env.rewards["agent_0"] == 0.0
    assert env.infos["agent_0"]["duplicate_of"] == 1
    env.step({"program": "x = 0\nprint(2)"})
    assert env.rewards["agent_0"] == 1.0


@pytest.mark.parametrize("share", ["own", "team"])
def test_share_says_who_is_paid(share: str) -> None:
    env = aec(budget=4, agents=2, share=share)
    env.reset(seed=0, options={"problem": "toy/2"})
    actor = env.agent_selection
    env.step(program(2))
    assert env.rewards == {agent: float(share == "team" or agent == actor) for agent in env.possible_agents}


def test_rewards_of_other_agents_turns_are_kept_until_last_is_asked() -> None:
    env = aec(budget=6, agents=2, share="team", game="play")
    env.reset(seed=0, options={"problem": "toy/2"})
    env.step({"parent": 0, **program(2)})
    assert env.last()[1] == 1.0


def test_training_sets_are_scored_on_scoring_tests_and_feedback_on_them_is_one_bit() -> None:
    box = mars2_env.testing.ScriptedSandbox(lambda text, input: "2" if input in ("first", "second") else "0")
    env = aec(box, budget=4, agents=1)
    env.reset(seed=0, options={"problem": "toy/2"})
    env.step(program(2))
    info = env.infos["agent_0"]
    assert (info["outcome"], info["score"]) == ("wrong_answer", 0.0)
    for _ in range(3):
        prompt = env.observe("agent_0")["prompt"]
        assert "third" not in prompt
        assert "fourth" not in prompt
        env.step(program(5))


def test_stop_on_solved_terminates_everybody() -> None:
    env = aec(budget=8, stop_on_solved=True)
    env.reset(seed=0, options={"problem": "toy/2"})
    env.step(program(2))
    assert env.terminations == {"agent_0": True, "agent_1": True}
    assert not any(env.truncations.values())


def test_an_illegal_parent_costs_a_turn_and_is_reported() -> None:
    env = aec(budget=4, game="play")
    env.reset(seed=0)
    env.step({"parent": 4, **program(1)})
    assert env.infos["agent_0"] == {**env.infos["agent_0"], "outcome": "illegal"}
    assert env.agent_selection == "agent_1"
    assert env.infos["agent_1"]["action_mask"]["parent"].tolist() == [1, 0, 0, 0, 0]


def test_the_mask_says_which_nodes_exist() -> None:
    env = aec(budget=4, game="play")
    env.reset(seed=0)
    env.step({"parent": 0, **program(1)})
    env.step({"parent": 1, **program(2)})
    mask = env.infos[env.agent_selection]["action_mask"]
    assert mask["parent"].tolist() == [1, 1, 1, 0, 0]
    assert mask["parent"].dtype == np.int8
    assert mask["program"] is None
    assert env.action_space("agent_0").sample(mask)["parent"] in (0, 1, 2)


def test_a_fault_is_a_void_turn() -> None:
    env = aec(FaultySandbox(1), budget=4)
    env.reset(seed=0)
    actor, turn = env.agent_selection, env.turn
    env.step(program(1))
    assert env.agent_selection == actor
    assert "engine is gone" in env.infos[actor]["fault"]
    assert not any(env.rewards.values())
    assert env.turn is not None
    assert turn is not None
    assert (env.turn.parent, env.turn.seed) == (turn.parent, turn.seed)
    assert env.episode.spent == 0


def test_lasting_faults_truncate_and_on_fault_raise_raises() -> None:
    env = aec(FaultySandbox(99), budget=4, max_faults=2)
    env.reset(seed=0)
    env.step(program(1))
    env.step(program(1))
    assert all(env.truncations.values())
    assert not any(env.terminations.values())
    strict = aec(FaultySandbox(1), on_fault="raise")
    strict.reset(seed=0)
    with pytest.raises(SandboxError):
        strict.step(program(1))


def test_a_parallel_round_expands_the_tree_as_it_stood_and_pays_the_first() -> None:
    env = parallel(budget=6, agents=3)
    _, infos = env.reset(seed=0, options={"problem": "toy/2"})
    assert all(info["action_mask"]["parent"].tolist() == [1, 0, 0, 0, 0, 0, 0] for info in infos.values())
    actions = {agent: {"parent": 0, "program": f"n = {number}\nprint(2)"} for number, agent in enumerate(env.agents)}
    _, rewards, terminated, _, infos = env.step(actions)
    assert rewards == {"agent_0": 1.0, "agent_1": 0.0, "agent_2": 0.0}
    assert [infos[agent]["node"] for agent in env.agents] == [1, 2, 3]
    assert not any(terminated.values())
    actions = {agent: {"parent": 4, **program(1)} for agent in env.agents}  # node 4 is made in this very round
    _, _, terminated, _, infos = env.step(actions)
    assert {info["outcome"] for info in infos.values()} == {"illegal"}
    assert all(terminated.values())
    assert env.agents == []


def test_a_parallel_round_retries_faults_inside_the_step() -> None:
    env = parallel(FaultySandbox(2), budget=4)
    env.reset(seed=0)
    _, _, _, truncated, infos = env.step({agent: {"parent": 0, **program(1)} for agent in env.agents})
    assert not any(truncated.values())
    assert [info.get("node") for info in infos.values()] == [1, 2]
    assert any("fault" in info for info in infos.values())


def test_lasting_faults_truncate_a_parallel_round() -> None:
    env = parallel(FaultySandbox(10**6), budget=4)
    env.reset(seed=0)
    _, rewards, _, truncated, _ = env.step({agent: {"parent": 0, **program(1)} for agent in env.agents})
    assert all(truncated.values())
    assert not any(rewards.values())


def test_only_the_agent_to_act_has_a_prompt() -> None:
    env = aec()
    env.reset(seed=0)
    for agent in env.possible_agents:
        assert bool(env.observe(agent)["prompt"]) == (agent == env.agent_selection)


def test_observe_own_hides_outcomes_of_others_nodes() -> None:
    env = aec(game="play", observe="own", budget=4)
    env.reset(seed=0)
    env.step({"parent": 0, **program(1)})
    tree = env.observe("agent_1")["tree"]
    assert "agent_0" in tree
    assert "wrong_answer" not in tree
    assert "print(1)" not in env.observe("agent_1")["prompt"]
    assert "wrong_answer" in env.observe("agent_0")["tree"]


def test_observations_fit_their_space_whatever_was_written() -> None:
    env = aec(game="play", agents=1, budget=80)
    env.reset(seed=0)
    hostile = "print(1)  # \x1b[2J \u202e \x00 " + "x" * 60_000
    for number in range(80):
        assert env.observation_space("agent_0").contains(env.observe("agent_0"))
        env.step({"parent": 0, "program": f"n = {number}\n{hostile}"})
    assert env.terminations["agent_0"]


def test_text_spaces_hold_any_text_without_nul_and_surrogates() -> None:
    space = AnyText(10)
    for text in ("", "\u00e9\U0001f600", "a\nb", "x" * 10):
        assert space.contains(text)
    for text in ("x" * 11, "a\0", "\ud800", b"x", 3):
        assert not space.contains(text)
    assert fit("a\0\ud800b", 10) == "a\ufffd\ufffdb"
    assert len(fit("x" * 100, 40)) == 40
    space.seed(1)
    first = [space.sample() for _ in range(5)]
    space.seed(1)
    assert first == [space.sample() for _ in range(5)]
    assert all(space.contains(text) for text in first)


def test_state_is_numeric_and_in_bounds() -> None:
    env = aec(budget=5)
    env.reset(seed=0)
    first = env.state()
    env.step(program(1))
    for state in (first, env.state()):
        assert state.dtype == np.float32
        assert env.state_space.contains(state)
    assert not np.array_equal(first, env.state())


def test_the_same_seed_gives_the_same_problem_and_another_may_not() -> None:
    def problems(seed: int) -> list[str]:
        env = aec()
        env.reset(seed=seed)
        found = [env.episode.problem.id]
        for _ in range(5):
            env.reset()
            found.append(env.episode.problem.id)
        return found

    assert problems(3) == problems(3)
    assert problems(3) != problems(4)
    assert len(set(problems(3))) > 1


@pytest.mark.parametrize("game", ["write", "play"])
def test_the_environment_and_the_rollout_engine_write_the_same_log(tmp_path: Path, game: str) -> None:
    policy = Guesser()
    env = aec(game=game, out=tmp_path / "env")
    list(mars2_env.rollout(mars2_env.task(env.task, out=None), policy, out=tmp_path / "run", seed=5))
    for id in (problem.id for problem in env.task.problems):
        env.reset(seed=5, options={"problem": id})
        while env.turn is not None:
            reply = policy.reply(env.turn)
            action: dict[str, Any] = {"program": reply.text}
            if game == "play":
                action["parent"] = reply.parent
            env.step(action)
        env.close()
        assert log_path(tmp_path / "env", id, 5).read_bytes() == log_path(tmp_path / "run", id, 5).read_bytes()


def test_an_environment_never_resumes_a_log(tmp_path: Path) -> None:
    env = aec(out=tmp_path)
    env.reset(seed=0)
    with pytest.raises(LogError, match="already"):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (None, "a dict"),
        ("print(1)", "a dict"),
        ({}, "program"),
        ({"program": 3}, "text"),
        ({"program": "x", "parent": 0}, "a dict"),
        ({"program": "x" * 300_000}, "300000"),
    ],
)
def test_a_malformed_action_is_refused_and_changes_nothing(action: Any, message: str) -> None:
    env = aec()
    env.reset(seed=0)
    turn = env.turn
    with pytest.raises(ConfigError, match=message):
        env.step(action)
    assert env.turn == turn
    env.step(program(1))


@pytest.mark.parametrize("parent", ["0", 1.5, None, True])
def test_a_parent_that_is_no_number_is_refused(parent: Any) -> None:
    env = aec(game="play")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="parent"):
        env.step({"program": "x", "parent": parent})


def test_using_an_environment_before_reset_is_an_error_that_says_so() -> None:
    env = aec(render_mode="ansi")
    for use in (env.state, env.render, lambda: env.observe("agent_0")):
        with pytest.raises(EpisodeError, match="reset"):
            use()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"game": "chess"}, "chess"),
        ({"game": "write", "api": "parallel"}, "AEC only"),
        ({"game": "play", "selector": "ab_mcts_a"}, "agents choose"),
        ({"game": "play", "agents": 3, "budget": 7}, "multiple of 3"),
        ({"agents": 0}, "agents=0: at least one agent"),
        ({"game": "place", "generators": []}, r"generators=\[\]: give one for each agent"),
        ({"agents": ["Coder"]}, "lower-case"),
        ({"budget": 0}, "at least 1"),
        ({"reward": "fame"}, "fame"),
        ({"buget": 3}, "Did you mean 'budget'"),
        ({"selector": "mcts"}, "mcts"),
        ({"sandbox": "dokcer"}, "dokcer"),
        ({"render_mode": "rgb_array"}, "rgb_array"),
    ],
)
def test_tasks_that_make_no_sense_are_refused_at_make(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mars2_env.make(problem_set(), **{"sandbox": sandbox(), **options})


def test_unknown_environments_and_sets_are_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="mars2/Starter-v0"):
        mars2_env.make("mars2/Stater-v0")
    with pytest.raises(ConfigError, match="humaneval"):
        mars2_env.task("humanevl")


def test_names_follow_pettingzoos_rule() -> None:
    assert list(mars2_env.task(problem_set(), agents=["coder", "fixer", "coder"]).agents) == [
        "coder_0",
        "fixer_0",
        "coder_1",
    ]
    roles = mars2_env.task(problem_set(), agents={"coder": "Write.", "critic_3": "Mend."}).agents
    assert dict(roles) == {"coder_0": "Write.", "critic_3": "Mend."}


def test_an_override_clears_the_id() -> None:
    assert mars2_env.task().id == "mars2/Starter-v0"
    assert mars2_env.task(budget=4).id is None
    assert mars2_env.make(sandbox=sandbox()).spec.id is None


def test_a_task_can_be_changed_in_one_option() -> None:
    base = mars2_env.task(problem_set(), agents=3, score="fraction", sandbox="scripted")
    changed = mars2_env.task(base, budget=12)
    assert (changed.budget.nodes, len(changed.agents), changed.rules.score) == (12, 3, "fraction")
    assert mars2_env.task(base, game="play", budget=9).selector is None


def test_evaluation_sets_are_scored_on_public_tests() -> None:
    problems = problem_set(use="evaluation")
    assert mars2_env.task(problems).rules.score_on == "public"
    assert mars2_env.task(problem_set()).rules.score_on == "scoring"


@pytest.mark.parametrize("game", ["write", "play"])
def test_observe_own_never_shows_another_agents_program(game: str) -> None:
    env = aec(game=game, observe="own", budget=12)
    env.reset(seed=0)
    number = 0
    while env.turn is not None:
        turn = env.turn
        places = [turn] if game == "write" else [turn.at(parent) for parent in turn.parents]
        for place in places:
            others = [node for node in env.episode.nodes if node.agent != turn.agent and node.program]
            text = repr((place.messages, place.program, place.feedback, env.observe(turn.agent)))
            assert not any(str(node.program).strip() in text for node in others)
        number += 1
        action = {"program": f"secret_of_{turn.agent}_{number} = 1\nprint(7)"}
        env.step(action if game == "write" else {**action, "parent": turn.parents[-1]})
    assert number == 12


def test_a_closed_environment_says_what_to_do(tmp_path: Path) -> None:
    env = aec(out=tmp_path)
    env.reset(seed=0)
    env.close()
    env.close()
    with pytest.raises(LogError, match="reset"):
        env.step(program(1))
    env.reset(seed=1)
    env.step(program(1))


def test_stepping_after_the_end_is_an_error_that_says_so() -> None:
    env = aec(budget=2, agents=1)
    env.reset(seed=0)
    play(env, [1, 2])
    env.step(None)
    for use in (lambda: env.step(program(1)), env.last):
        with pytest.raises(EpisodeError, match="reset"):
            use()
    rounds = parallel(budget=2)
    rounds.reset(seed=0)
    rounds.step({agent: {"parent": 0, **program(1)} for agent in rounds.agents})
    with pytest.raises(EpisodeError, match="reset"):
        rounds.step({})


@pytest.mark.parametrize(
    "options",
    [
        {"agents": "coder"},
        {"agents": 1.5},
        {"agents": [1]},
        {"agents": {"a", "b"}},
        {"limits": {"cpu_seconds": 1}},
        {"sandbox": 5},
        {"out": 5},
        {"out": ""},
        {"stop_on_solved": "yes"},
        {"strict_types": 1},
        {"max_faults": True},
    ],
    ids=str,
)
def test_options_of_a_wrong_type_are_refused_at_make(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        mars2_env.make(problem_set(), **{"sandbox": sandbox(), **options})


def test_the_problems_of_a_registered_task_can_be_replaced() -> None:
    assert mars2_env.task(problems=problem_set()).problems.name == "toy"


@pytest.mark.parametrize(
    "options", [5, {"problem": 5}, {"problem": "toy/99"}, {"problems": "toy/2"}, {"Problem": "toy/2"}]
)
def test_reset_refuses_options_that_make_no_sense(options: Any) -> None:
    with pytest.raises(ConfigError):
        aec().reset(options=options)


def test_options_of_wrappers_are_left_alone() -> None:
    env = aec()
    env.reset(seed=0, options={"problem": "toy/2", "max_steps": 5})
    assert env.episode.problem.id == "toy/2"


def test_the_reference_gives_the_lengths_that_the_spaces_have() -> None:
    told = TreeSearchAEC.__doc__ or ""
    for length in (spaces.PROBLEM_LENGTH, spaces.TREE_LENGTH, spaces.PROMPT_LENGTH, spaces.PROGRAM_LENGTH):
        assert f"{length:,}" in told
    space = aec().observation_space("agent_0")
    assert [space[key].max_length for key in ("problem", "tree", "prompt")] == [50_000, 20_000, 200_000]


def test_before_reset_there_is_no_agent_to_act_and_the_error_says_what_to_call() -> None:
    env = aec()
    with pytest.raises(EpisodeError, match=r"call reset\(\) first"):
        env.agent_selection  # noqa: B018
    assert not hasattr(env, "agent_selection")  # as PettingZoo has it
    env.reset(seed=0)
    assert env.agent_selection in env.agents


def test_an_action_of_an_agent_whose_episode_is_over_is_refused_and_none_is_taken() -> None:
    env = aec(budget=1, agents=2)
    env.reset(seed=0)
    env.step(program(0))
    for kind in (EpisodeError, ValueError):  # the second is PettingZoo's
        with pytest.raises(kind, match=rf"over for {env.agent_selection}, for which step\(None\).*call reset\(\)"):
            env.step(program(1))
    env.step(None)
    env.step(None)
    assert env.agents == []


def test_an_unfinished_run_of_an_environment_is_not_promised_to_be_taken_up(tmp_path: Path) -> None:
    env = aec(budget=3, out=tmp_path)
    env.reset(seed=0)
    env.step(program(0))
    env.close()
    trees = mars2_env.read_log(tmp_path)
    with pytest.raises(ConfigError, match=r"1 are cut off. There is no run.json in .*it takes up none"):
        mars2_env.evaluate(tmp_path, problems=problem_set())
    with pytest.raises(ConfigError, match=r"rollout .* takes up those .*an environment takes up none"):
        mars2_env.evaluate(trees, problems=problem_set())
    list(mars2_env.rollout(mars2_env.task(problem_set(), sandbox=sandbox(), budget=3), Guesser(), out=tmp_path / "run"))
    for log in (tmp_path / "run/trees").glob("*.jsonl"):
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ConfigError, match=r"cut off. Run the same search \(or rollout\) again: it takes them up"):
        mars2_env.evaluate(tmp_path / "run", problems=problem_set())
