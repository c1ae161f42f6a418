"""Policies that fail, that are others than before, and that say how many tokens a reply took."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Generation, LogError, PolicyError, PolicyUnavailableError, Reply, Task, Tree, Turn
from mars2_env.bank import ReplayPolicy
from mars2_env.bank import record as record_bank
from mars2_env.bank.file import BANK_FILE
from mars2_env.engine import read_run
from mars2_env.episode import Failed
from mars2_env.log import log_path, read_trace
from mars2_env.tasks import identity_of
from mars2_env.tasks.policies import POLICIES
from mars2_env.testing import NoisePolicy, ScriptedPolicy, ScriptedSandbox


def task(count: int = 2, **options: Any) -> Task:
    return mars2_env.task(problem_set(count), sandbox=sandbox(), agents=1, **options)


class Failing(Guesser):
    """Raises on the calls whose numbers it is given, or whenever a turn of one problem is among those asked."""

    def __init__(self, calls: set[int] = frozenset(), problem: str = "") -> None:  # type: ignore[assignment]
        super().__init__()
        self.calls, self.problem, self.called = calls, problem, 0

    identity = "guesser"

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Guess, or fail."""
        self.called += 1
        if self.called - 1 in self.calls or any(turn.problem.id == self.problem for turn in turns):
            raise ConnectionError("the server\ud800 hung up")
        return super().act(turns)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


def test_a_call_that_fails_once_is_made_again_and_the_log_does_not_know(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    list(mars2_env.rollout(task(), Failing({0, 3}), out=tmp_path / "one"))
    list(mars2_env.rollout(task(), Failing(), out=tmp_path / "two"))
    assert logs(tmp_path / "one") == logs(tmp_path / "two")
    (said, _) = (record.getMessage() for record in caplog.records)
    assert "policy of agent_0 failed (ConnectionError: the server\ufffd hung up), at " in said
    assert "test_policy_faults.py:" in said


class Away(Failing):
    """Asks a server that is away now and then."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Guess, or say that the server is away."""
        try:
            return super().act(turns)
        except ConnectionError as error:
            raise PolicyUnavailableError("the server is away") from error


def test_a_server_that_is_away_costs_expansions_and_ends_the_run_only_when_it_stays_away(tmp_path: Path) -> None:
    list(mars2_env.rollout(task(), Away({0}), out=tmp_path / "one"))
    list(mars2_env.rollout(task(), Failing(), out=tmp_path / "two"))
    assert logs(tmp_path / "one") == logs(tmp_path / "two")
    (tree,) = mars2_env.rollout(task(1), Away({0, 1}))
    (reason,) = [event.reason for event in tree.events if isinstance(event, Failed)]
    assert reason == "the policy of agent_0 failed: PolicyUnavailableError: the server is away"
    assert tree.ended != "faults"
    with pytest.raises(PolicyError, match=r"failed on 2 turns in a row.*the server is away"):
        list(mars2_env.rollout(task(1), Away(set(range(99))), policy_failures=2))


class UnsayableError(Exception):
    """What cannot even be said."""

    def __str__(self) -> str:
        """Fail."""
        return str(1 // 0)


def test_an_exception_that_cannot_be_said_is_known_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    class Speechless(Guesser):
        def act(self, turns: list[Turn]) -> list[Reply]:
            raise UnsayableError

    (tree,) = mars2_env.rollout(task(1), Speechless())
    assert tree.ended == "faults"
    (reason, *_) = [event.reason for event in tree.events if isinstance(event, Failed)]
    assert reason == "the policy of agent_0 failed: UnsayableError"
    assert "failed (UnsayableError), at" in caplog.text


def test_what_fails_alike_again_and_again_is_said_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PolicyError, match="failed on 20 turns in a row"):
        list(mars2_env.rollout(task(20), Failing(set(range(999))), policy_retries=0))
    said = [record.getMessage() for record in caplog.records if "failed (ConnectionError" in record.getMessage()]
    assert len(said) == 2 and said[1].endswith(": 10 times by now.")


class _Loaded:
    """Parts of others that raise what is none of the library's errors."""

    def select(self, tree: Any, rng: Any, pending: Any = ()) -> Any:
        raise KeyError("lost")

    def score(self, problem: Any, programs: Any) -> Any:
        raise KeyError("lost")


def _lost(*given: Any) -> Any:
    raise KeyError("lost")


@pytest.mark.parametrize(
    ("options", "called", "says"),
    [
        ({"selector": _Loaded()}, {}, r"select\(\) of the selector .*_Loaded"),
        ({"reward_model": _Loaded()}, {}, r"score\(\) of the reward model .*_Loaded"),
        ({"stop_when": _lost}, {}, "stop_when <function _lost"),
        ({}, {"observer": _lost}, "the observer <function _lost"),
    ],
)
def test_an_exception_of_a_part_says_which_part_raised_it(
    options: dict[str, Any], called: dict[str, Any], says: str
) -> None:
    with pytest.raises(KeyError) as found:
        list(mars2_env.rollout(task(1, **options), Guesser(), **called))
    assert any(re.search(says, note) for note in found.value.__notes__)


def test_a_policy_that_fails_on_one_problem_costs_the_others_nothing(tmp_path: Path) -> None:
    def grown(policy: Failing) -> dict[str, Tree]:
        return {tree.problem: tree for tree in mars2_env.rollout(task(3), policy, out=tmp_path)}

    trees = grown(Failing(problem="toy/1"))
    assert {id: tree.ended for id, tree in trees.items()} == {"toy/0": "budget", "toy/1": "faults", "toy/2": "budget"}
    assert trees["toy/1"].detail == "agent_0: its policy failed on 3 turns in a row"
    failed = [event for event in trees["toy/1"].events if isinstance(event, Failed)]
    assert [event.kind for event in failed] == ["policy"] * 3
    assert failed[0].reason == "the policy of agent_0 failed: ConnectionError: the server\ufffd hung up"
    assert mars2_env.replay(trees["toy/1"]) == trees["toy/1"] == mars2_env.read_log(tmp_path)[1]
    mended = grown(Failing())
    assert [tree.ended for tree in mended.values()] == ["budget"] * 3
    assert mended["toy/0"] == trees["toy/0"]


def test_on_fault_raise_raises_what_a_policy_raised() -> None:
    with pytest.raises(PolicyError, match="ConnectionError") as found:
        list(mars2_env.rollout(task(on_fault="raise"), Failing(set(range(99)))))
    assert isinstance(found.value.__cause__, ConnectionError)


def test_how_often_it_is_asked_again_can_be_said() -> None:
    policy = Failing(set(range(99)))
    list(mars2_env.rollout(task(1, max_faults=2), policy, policy_retries=3))
    assert policy.called == 2 * 4
    with pytest.raises(ConfigError, match="policy_retries=-1"):
        mars2_env.rollout(task(), policy, policy_retries=-1)


def played(policy: Failing, game: str, out: Path, **options: Any) -> None:
    """Play an environment whose programs generators write, one tree."""
    env: Any = mars2_env.make(task(1, game=game, generators=policy, out=out, **options))
    env.reset(seed=0)
    while not env.episode.done:
        env.step(0)
    env.close()


@pytest.mark.parametrize("game", ["place", "route"])
def test_a_generator_that_fails_once_is_called_again_and_the_log_does_not_know(game: str, tmp_path: Path) -> None:
    played(Failing({0, 3}), game, tmp_path / "one")
    played(Failing(), game, tmp_path / "two")
    assert logs(tmp_path / "one") == logs(tmp_path / "two")


@pytest.mark.parametrize("game", ["place", "route"])
def test_what_a_generator_raises_is_the_cause_of_an_error_of_ours(game: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="the policy of agent_0 failed: ConnectionError") as found:
        played(Failing(set(range(99))), game, tmp_path, on_fault="raise")
    assert isinstance(found.value.__cause__, ConnectionError)


@pytest.mark.parametrize("game", ["place", "route"])
def test_the_engine_does_not_play_games_with_generators(game: str) -> None:
    with pytest.raises(ConfigError, match="through its environment"):
        mars2_env.rollout(task(1, game=game), Failing())


@pytest.mark.parametrize("game", ["place", "route"])
def test_a_generator_that_fails_lastingly_is_counted_as_faults_and_ends_the_tree(game: str, tmp_path: Path) -> None:
    played(Failing(set(range(99))), game, tmp_path)
    (tree,) = mars2_env.read_log(tmp_path)
    failed = [event for event in tree.events if isinstance(event, Failed)]
    assert (tree.ended, tree.detail) == ("faults", "agent_0: its policy failed on 3 turns in a row")
    assert [event.kind for event in failed] == ["policy"] * 3
    assert failed[0].reason == "the policy of agent_0 failed: ConnectionError: the server\ufffd hung up"
    assert tree.nodes == ()


@pytest.mark.parametrize("game", ["place", "route"])
def test_a_generator_that_fails_on_one_turn_costs_that_expansion_alone(game: str, tmp_path: Path) -> None:
    played(Failing({2, 3}), game, tmp_path)
    (tree,) = mars2_env.read_log(tmp_path)
    assert sum(isinstance(event, Failed) for event in tree.events) == 1
    assert (tree.ended, len(tree.nodes)) == ("budget", 8)
    assert mars2_env.replay(tree) == tree


@pytest.mark.parametrize("api", ["aec", "parallel"])
def test_both_interfaces_void_a_turn_whose_generator_failed(api: str, tmp_path: Path) -> None:
    made = mars2_env.task(
        problem_set(1), sandbox=sandbox(), agents=2, game="place", api=api, generators=[Guesser(), Failing({1, 2})]
    )
    env: Any = mars2_env.make(made, out=tmp_path)
    env.reset(seed=0)
    faults = []
    while not env.episode.done:
        if api == "aec":
            acted = env.agent_selection
            env.step(0)
            faults.append(env.infos[acted].get("fault"))
        else:
            infos = env.step(dict.fromkeys(env.agents, 0))[-1]
            faults += [info.get("fault") for info in infos.values()]
    env.close()
    assert len([fault for fault in faults if fault]) == 1
    (tree,) = mars2_env.read_log(tmp_path)
    assert (tree.ended, len(tree.nodes)) == ("budget", 8)
    assert mars2_env.replay(tree) == tree


@pytest.mark.parametrize("game", ["place", "route"])
def test_a_vector_voids_the_turns_of_the_environment_whose_generator_failed(game: str) -> None:
    options: Any = {"game": game, "api": "gymnasium" if game == "route" else "parallel"}
    made = mars2_env.task(problem_set(1), sandbox=sandbox(), agents=1, generators=Failing({0, 1, 2}), **options)
    vector: Any = mars2_env.make_vec(made, 2)
    vector.reset(seed=0)
    infos = vector.step([0, 0] if game == "route" else {"agent_0": [0, 0]})[-1]
    said = infos["fault"] if game == "route" else infos["agent_0"]["fault"]
    assert [bool(one) for one in said] == [True, False]
    vector.close()


def test_an_error_of_the_librarys_own_is_no_fault_to_be_retried() -> None:
    with pytest.raises(PolicyError, match="ran out"):
        list(mars2_env.rollout(task(), ScriptedPolicy(["print(1)"])))


@dataclass
class Model:
    """A policy with settings, and with what it remembers."""

    name: str
    temperature: float = 1.0
    stops: tuple[str, ...] = ()
    seen: list[Turn] = field(default_factory=list)

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write one program."""
        self.seen += turns
        return [Reply("print(1)") for _ in turns]


class Spoken:
    """A policy whose repr is all that is known of it."""

    def __init__(self, said: str) -> None:
        self.said = said

    def __repr__(self) -> str:
        return self.said

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write one program."""
        return [Reply("print(1)") for _ in turns]


class Plain:
    """A policy of which nothing is known."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Write one program."""
        return [Reply("print(1)") for _ in turns]


class Named(Plain):
    """A policy that says what it is."""

    def __init__(self, identity: Any) -> None:
        self.identity = identity


@pytest.mark.parametrize(
    ("policy", "identity"),
    [
        (Named("openai:x,temperature=0.8"), "openai:x,temperature=0.8"),
        (Model("a", 0.5, ("x",)), "Model(name='a', temperature=0.5, stops=('x',))"),
        (Spoken("Spoken(model='a')"), "Spoken(model='a')"),
        (Spoken("<Spoken at 0x7f62c4bebe50>"), "Spoken"),
        (Plain(), "Plain"),
    ],
)
def test_a_policy_is_known_by_what_it_says_then_its_fields_then_its_repr_then_its_class(
    policy: Any, identity: str
) -> None:
    assert identity_of(policy) == identity


def test_what_is_long_ends_in_a_digest_and_what_is_no_text_is_refused() -> None:
    assert identity_of(Spoken("x" * 1000 + "a")) != identity_of(Spoken("x" * 1000 + "b"))
    assert len(identity_of(Spoken("x" * 1000))) < 450
    with pytest.raises(PolicyError, match=r"Named.identity is 5"):
        identity_of(Named(5))


def test_our_own_policies_say_what_they_are() -> None:
    problems = problem_set(2)
    references = {problem.id: f"print({problem.id[-1]})\n" for problem in problems}
    assert identity_of(NoisePolicy(references)) == identity_of(pickle.loads(pickle.dumps(NoisePolicy(references))))
    assert len({identity_of(NoisePolicy(references, profile)) for profile in ("default", "weak", "strong")}) == 3
    assert identity_of(NoisePolicy(references)) != identity_of(NoisePolicy({"toy/0": "print(5)\n"}))
    assert identity_of(ScriptedPolicy(["a"])) != identity_of(ScriptedPolicy(["b"]))
    assert "test_our_own_policies" in identity_of(ScriptedPolicy(lambda turn: "x"))


@pytest.mark.parametrize(
    ("first", "second"), [(Model("a"), Model("b")), (Model("a"), Model("a", 0.2)), (Named("x"), Named("y"))]
)
def test_another_model_does_not_go_on_with_a_run(tmp_path: Path, first: Any, second: Any) -> None:
    next(mars2_env.rollout(task(), first, out=tmp_path, trees=1))
    with pytest.raises(LogError, match=r"team\.agent_0 was .*(a|x).* and is now .*(b|0\.2|y)"):
        mars2_env.rollout(task(), second, out=tmp_path)
    assert len(list(mars2_env.rollout(task(), first, out=tmp_path))) == 2, "one that has played since is the same"


def test_a_folder_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    next(mars2_env.rollout(task(), Model("a"), out=tmp_path, trees=1))
    run = read_run(tmp_path)
    old = {name: value for name, value in run.items() if name not in ("plan", "sandbox")}
    (tmp_path / "run.json").write_text(json.dumps(old | {"team": {"agent_0": "Model"}}))
    for _ in range(2):
        assert len(list(mars2_env.rollout(task(), Model("b"), out=tmp_path))) == 2
    assert read_run(tmp_path)["team"] == {"agent_0": "Model"}
    with pytest.raises(LogError, match=r"team\.agent_0"):
        mars2_env.rollout(task(), Plain(), out=tmp_path)


class Counting(Guesser):
    """Says how many tokens a reply took, as a server does that tells no ids."""

    generation = Generation(prompt_tokens=7, completion_tokens=10)

    def reply(self, turn: Turn) -> Reply:
        """Guess for one turn."""
        return Reply(super().reply(turn).text, generation=self.generation)


def test_a_budget_of_tokens_takes_counts(tmp_path: Path) -> None:
    (tree,) = mars2_env.rollout(task(1, budget="tokens=25"), Counting(), out=tmp_path)
    assert (tree.ended, tree.detail, len(tree.nodes)) == ("budget", "tokens: 30 of 25", 3)
    traces = read_trace(log_path(tmp_path, "toy/0", 0))
    assert {(trace.prompt_tokens, trace.completion_tokens) for trace in traces.values()} == {(7, 10)}
    assert traces[0].generation == Counting.generation


def test_a_generation_that_tells_no_count_does_not_do_for_a_budget_of_tokens() -> None:
    class Silent(Counting):
        generation = Generation()

    with pytest.raises(PolicyError, match=r"completion_tokens=\.\.\."):
        list(mars2_env.rollout(task(1, budget="tokens=25"), Silent()))


def test_ids_are_counted_before_counts_and_older_pickles_are_read() -> None:
    assert Generation((1, 2), (3,), (-0.5,), prompt_tokens=9, completion_tokens=9).tokens == (2, 1)
    assert Generation(completion_tokens=9).tokens == (0, 9)
    assert Generation(prompt_tokens=9).tokens is None
    old = Generation.__new__(Generation)
    old.__setstate__([(1, 2), (3,), (-0.5,), "length", 4])
    assert old == Generation((1, 2), (3,), (-0.5,), "length", 4)
    new = Generation((1,), (3,), (-0.5,), prompt_tokens=1)
    assert pickle.loads(pickle.dumps(new)) == new
    for wrong in (-1, 1.5, "x"):
        with pytest.raises(PolicyError, match="completion_tokens"):
            Generation(completion_tokens=wrong)  # type: ignore[arg-type]


def test_another_bank_under_the_same_spec_is_refused_and_the_agent_is_named(tmp_path: Path) -> None:
    played = mars2_env.task("starter", sandbox=ScriptedSandbox(), agents=["a"], budget=1)
    ids = [played.problems[0].id]
    for name, policy in (("bank", "noise:default"), ("other", "noise:weak")):
        record_bank(played, policy, out=tmp_path / name, problems=ids, children=1, depth=1)
    spec = f"replay:{tmp_path / 'bank'}"

    def grown() -> list[Tree]:
        return list(mars2_env.rollout(played, spec, problems=ids, out=tmp_path / "run"))

    trees = grown()
    assert grown() == trees
    (identity,) = read_run(tmp_path / "run")["identities"].values()
    assert identity == ReplayPolicy(tmp_path / "bank").identity
    shutil.copy(tmp_path / "other" / BANK_FILE, tmp_path / "bank" / BANK_FILE)
    now = ReplayPolicy(tmp_path / "bank").identity
    with pytest.raises(LogError, match=f"run.json: the policy of a_0, 'replay:.*was '{identity}' and is '{now}'.*out"):
        grown()


@pytest.fixture
def checkpoint(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What lies at the path of the policy `stub`, which says what it is only where that is not empty."""
    held = ["one"]

    class Named(Guesser):
        identity = property(lambda self: held[0])

    def stub(rest: str, **options: Any) -> Guesser:
        return Named() if held[0] else Guesser()

    monkeypatch.setitem(POLICIES._own, "stub", stub)
    return held


def test_a_checkpoint_that_changed_behind_its_spec_is_refused(tmp_path: Path, checkpoint: list[str]) -> None:
    list(mars2_env.rollout(task(), "stub", out=tmp_path))
    assert read_run(tmp_path)["identities"] == {"agent_0": "one"}
    checkpoint[0] = "two"
    with pytest.raises(LogError, match="the policy of agent_0, 'stub', is another now: it was 'one' and is 'two'"):
        mars2_env.rollout(task(), "stub", out=tmp_path)
    with pytest.raises(LogError, match=r"team\.agent_0 was 'stub' and is now 'stub:other'"):
        mars2_env.rollout(task(), "stub:other", out=tmp_path)
    checkpoint[0] = "one"
    assert len(list(mars2_env.rollout(task(), "stub", out=tmp_path))) == 2


def test_a_folder_that_does_not_say_who_a_spec_was_is_not_held_to_it(tmp_path: Path, checkpoint: list[str]) -> None:
    list(mars2_env.rollout(task(), "stub", out=tmp_path))
    found = read_run(tmp_path)
    del found["identities"]
    (tmp_path / "run.json").write_text(json.dumps(found))
    checkpoint[0] = "two"
    assert len(list(mars2_env.rollout(task(), "stub", out=tmp_path))) == 2


def test_only_what_says_what_it_is_is_held_to_it(tmp_path: Path, checkpoint: list[str]) -> None:
    checkpoint[0] = ""
    list(mars2_env.rollout(task(), "stub", out=tmp_path / "spec"))
    list(mars2_env.rollout(task(), ScriptedPolicy(["pass"] * 99), out=tmp_path / "object"))
    assert "identities" not in read_run(tmp_path / "spec")
    assert "identities" not in read_run(tmp_path / "object")
