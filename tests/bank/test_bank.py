"""A bank holds what was recorded, replays it to the bit, and answers with nothing else."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, Generation, LogError, PolicyError, Reply, Task, Turn
from mars2_env.bank import Bank, ReplayPolicy, calls_needed, read_bank, record
from mars2_env.bank.file import BANK_FILE, RECORDING
from mars2_env.tasks import identity_of

AGENTS = {"coder": "You write.", "fixer": "You mend."}
SELECTORS = ["ab_mcts_a", "mars2", "uct", "random", "sequential_refinement", "repeated_sampling"]


def task(budget: int = 3, **options: Any) -> Task:
    given: dict[str, Any] = {"agents": AGENTS, "budget": budget, "sandbox": sandbox(), **options}
    return mars2_env.task(problem_set(2), **given)


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Three replies of two agents to depth 3: every search of three nodes stays in it."""
    return record(task(), Guesser(), children=3, depth=3, out=tmp_path_factory.mktemp("bank"))


def test_a_bank_says_what_was_recorded(bank: Bank) -> None:
    header = bank.header
    assert (header.children, header.depth, header.seed) == (3, 3, 0)
    assert header.problems == ("toy/0", "toy/1")
    assert header.problems_hash == problem_set(2).hash
    assert {name: (one.policy, one.role) for name, one in header.agents.items()} == {
        "coder_0": (identity_of(Guesser()), "You write."),
        "fixer_0": (identity_of(Guesser()), "You mend."),
    }
    assert header.replies == len(bank.replies) == calls_needed(2, 2, 3, 3) == 2 * (6 + 36 + 216)


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_search_replays_to_the_bit_what_it_does_with_the_recorded_policy(
    selector: str, bank: Bank, tmp_path: Path
) -> None:
    plays = {"live": Guesser(), "replayed": ReplayPolicy(bank), "again": f"replay:{bank.path.parent}"}
    for name, policy in plays.items():
        list(mars2_env.rollout(task(selector=selector), policy, out=tmp_path / name))
    assert logs(tmp_path / "live") == logs(tmp_path / "replayed") == logs(tmp_path / "again")
    assert len(logs(tmp_path / "live")) == 2


def test_a_search_with_another_seed_meets_the_recorded_replies_where_it_goes(bank: Bank) -> None:
    recorded = {(one.problem, one.agent, one.child): one.text for one in bank.replies.values() if not one.path}
    replayed = list(mars2_env.rollout(task(), ReplayPolicy(bank), seed=7))
    own = list(mars2_env.rollout(task(), Guesser(), seed=7))
    assert [node.reply for tree in replayed for node in tree.nodes] != [
        node.reply for tree in own for node in tree.nodes
    ]
    for tree in replayed:
        seen: dict[str, int] = {}
        for node in tree.nodes:
            if node.parent == 0:
                child = seen[node.agent] = seen.get(node.agent, -1) + 1
                assert node.reply == recorded[tree.problem, node.agent, child]


def test_several_expansions_in_flight_meet_the_same_children(bank: Bank, tmp_path: Path) -> None:
    for name, policy in (("live", Guesser()), ("replayed", ReplayPolicy(bank))):
        list(mars2_env.rollout(task(selector="random"), policy, in_flight=3, out=tmp_path / name))
    assert logs(tmp_path / "live") == logs(tmp_path / "replayed")


def test_copies_keep_their_own_numbers_and_are_marked_by_the_search(tmp_path: Path) -> None:
    bank = record(task(), Guesser(choices=1), children=3, depth=1, out=tmp_path)
    assert sum(one.problem == "toy/0" for one in bank.replies.values()) == 6
    tree = next(mars2_env.rollout(task(selector="repeated_sampling"), ReplayPolicy(bank)))
    assert [node.duplicate_of for node in tree.nodes] == [None, 1, 1]


class Killed(BaseException):
    """Ends a recording as a kill does, wherever it is raised."""


@dataclass
class Mortal(Guesser):
    """Dies with the call after so many turns."""

    life: int = field(default=0, repr=False)

    def act(self, turns: list[Turn]) -> list[Reply]:
        if len(self.turns) >= self.life:
            raise Killed
        return super().act(turns)


def test_a_recording_that_was_killed_goes_on_and_ends_in_the_same_bytes(tmp_path: Path) -> None:
    options: dict[str, Any] = {"children": 2, "depth": 2}
    whole = record(task(), Mortal(life=10**6), out=tmp_path / "whole", **options)
    asked: list[tuple[Any, ...]] = []
    for life in (5, 9, 10**6):
        policy = Mortal(life=life)
        try:
            killed = record(task(), policy, out=tmp_path / "killed", **options)
        except Killed:
            with pytest.raises(LogError, match="not finished"):
                read_bank(tmp_path / "killed")
        asked += [(turn.problem.id, turn.agent, turn.path, turn.child) for turn in policy.turns]
    assert killed.path.read_bytes() == whole.path.read_bytes()
    assert set(asked) == set(whole.replies)
    assert len(asked) - len(set(asked)) <= 2 * 2 * 4  # what was in flight at each of the two kills
    again = Mortal(life=10**6)
    assert record(task(), again, out=tmp_path / "killed", **options).digest == whole.digest
    assert again.turns == []


def test_a_place_that_was_not_recorded_is_an_error_that_names_it(bank: Bank) -> None:
    with pytest.raises(PolicyError, match=r"child 3 of coder_0 at the root of 'toy/0'; the bank holds children 0 to 2"):
        list(mars2_env.rollout(task(8, selector="repeated_sampling"), ReplayPolicy(bank)))
    with pytest.raises(PolicyError, match=r"child 0 of fixer_0 below node 3 .* to depth 3"):
        list(mars2_env.rollout(task(4, selector="sequential_refinement"), ReplayPolicy(bank)))


def test_a_run_is_refused_before_it_begins_if_the_bank_is_of_others(bank: Bank, tmp_path: Path) -> None:
    replay, out = f"replay:{bank.path}", tmp_path / "run"
    with pytest.raises(PolicyError, match=r"unknown agent in this bank 'codar_0'\. Did you mean 'coder_0'"):
        mars2_env.rollout(task(agents=["codar", "fixer"]), replay, out=out)
    other = mars2_env.task(problem_set(3), agents=AGENTS, sandbox=sandbox())
    with pytest.raises(PolicyError, match=r"was recorded on 'toy'.*in another version or with other options"):
        mars2_env.rollout(other, replay, out=out)
    part = record(task(), Guesser(), children=1, depth=1, out=tmp_path / "part", limit=1)
    with pytest.raises(PolicyError, match=r"holds 1 problems, and 1 of the 2 to be played are not among them: toy/1"):
        mars2_env.rollout(task(), f"replay:{part.path}", out=out)
    assert len(list(mars2_env.rollout(task(1), f"replay:{part.path}", limit=1))) == 1
    assert not out.exists()


def test_a_reply_to_another_prompt_or_program_is_never_given(bank: Bank) -> None:
    with pytest.raises(PolicyError, match="its prompt differs"):
        list(mars2_env.rollout(task(agents={"coder": "You write!", "fixer": "You mend."}), ReplayPolicy(bank)))
    chain = task(2, selector="sequential_refinement")
    with pytest.raises(PolicyError, match="its program, or how it fails, differs"):
        list(mars2_env.rollout(chain, {"coder_0": Guesser(choices=99), "fixer_0": ReplayPolicy(bank)}, seed=3))
    with pytest.raises(PolicyError, match="its program, or how it fails, differs"):
        list(mars2_env.rollout(mars2_env.task(chain, prompts="feedback=off"), ReplayPolicy(bank)))


def test_an_agent_that_chooses_its_place_is_refused_and_generators_are_served(bank: Bank) -> None:
    with pytest.raises(PolicyError, match="holds no choices of places"):
        list(mars2_env.rollout(task(2, game="play"), ReplayPolicy(bank)))
    env = mars2_env.make(task(2, game="place", generators=ReplayPolicy(bank)))
    env.reset(seed=5)
    for _ in env.agent_iter():
        *_, ended, cut, _ = env.last()
        env.step(None if ended or cut else 0)
    tree = env.unwrapped.match.tree()
    first = {(one.problem, one.agent): one.text for one in bank.replies.values() if not one.path and one.child == 0}
    assert [node.reply for node in tree.nodes] == [first[tree.problem, agent] for agent in ("coder_0", "fixer_0")]


@dataclass
class Counting(Guesser):
    """Tells how many tokens its replies took, and what they cost."""

    def reply(self, turn: Turn) -> Reply:
        text = super().reply(turn).text
        return Reply(text, generation=Generation((1, 2), (3,) * 5, finish_reason="length"), cost=0.5)


def test_token_counts_and_costs_are_kept_so_that_budgets_of_them_hold(tmp_path: Path) -> None:
    bank = record(task(), Counting(), children=2, depth=2, out=tmp_path / "bank")
    policy = ReplayPolicy(bank)
    assert set(policy.gives) == {"token_counts", "cost"}
    for name, one in (("live", Counting()), ("replayed", policy)):
        played = mars2_env.task(task(), budget="tokens=10", selector="repeated_sampling")
        trees = list(mars2_env.rollout(played, one, out=tmp_path / name))
        assert [len(tree.nodes) for tree in trees] == [2, 2]
    assert logs(tmp_path / "live") == logs(tmp_path / "replayed")
    (reply, *_) = (one.reply() for one in bank.replies.values())
    assert reply.generation is not None
    assert (reply.tokens, reply.cost, reply.generation.finish_reason) == ((2, 5), 0.5, "length")


def test_what_cannot_be_recorded_is_refused_with_the_reason(tmp_path: Path) -> None:
    for options, message in (
        ({"game": "play", "budget": 4}, "agents do not choose the place"),
        ({"prompts": "siblings=2"}, "depends on the search"),
    ):
        with pytest.raises(ConfigError, match=message):
            record(task(**options), Guesser(), children=1, depth=1, out=tmp_path)
    for children, depth, message in ((0, 1, "children"), (1, 0, "depth"), (9, 9, "more than"), (9, 10**9, "more than")):
        with pytest.raises(ConfigError, match=message):
            record(task(), Guesser(), children=children, depth=depth, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_held_to_the_recording_that_it_was_begun_with(tmp_path: Path) -> None:
    record(task(), Guesser(), children=1, depth=1, out=tmp_path)
    before = (tmp_path / BANK_FILE).read_bytes()
    with pytest.raises(LogError, match=r"team.coder_0 was 'Guesser\(choices=6"):
        record(task(), Guesser(choices=5), children=1, depth=1, out=tmp_path)
    with pytest.raises(LogError, match="children was 1 and is now 2"):
        record(task(), Guesser(), children=2, depth=1, out=tmp_path)
    assert (tmp_path / BANK_FILE).read_bytes() == before


def test_the_file_alone_is_a_bank_and_a_damaged_one_is_refused(bank: Bank, tmp_path: Path) -> None:
    data = bank.path.read_bytes()
    moved = tmp_path / "moved.gz"
    moved.write_bytes(data)
    assert read_bank(moved).digest == bank.digest
    assert identity_of(ReplayPolicy(moved)) == f"replay:{bank.digest[:16]}"
    lines = gzip.decompress(data).splitlines(keepends=True)
    for broken, message in (
        (data[:-40], "cannot be read as a bank"),
        (b"no gzip", "cannot be read as a bank"),
        (gzip.compress(b"".join(lines[:-1])), "is damaged: it has 515 of 516 replies"),
        (gzip.compress(lines[0] + b'{"problem": 3}\n'), "line 2: no recorded reply"),
        (gzip.compress(lines[0].replace(b'"bank":1', b'"bank":2')), "a bank of version 2"),
        (gzip.compress(b""), "no header"),
    ):
        moved.write_bytes(broken)
        with pytest.raises(LogError, match=message):
            read_bank(moved)
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(LogError, match="holds no bank"):
            read_bank(place)
    with pytest.raises(ConfigError, match="replay needs a bank"):
        mars2_env.rollout(task(), "replay")


def test_the_recording_itself_is_a_run_that_can_be_looked_into(bank: Bank) -> None:
    trees = mars2_env.read_log(bank.path.parent / RECORDING)
    assert [len(tree.nodes) for tree in trees] == [258, 258]
    assert all(tree.nodes[-1].depth == 3 for tree in trees)
    assert mars2_env.replay(trees[0]).nodes == trees[0].nodes
