"""New weights reach whatever acts: what is sampled afterwards is what the learner scores, under the right version."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("peft", reason="needs the extra transformers")
pytest.importorskip("httpx2", reason="needs the extra vllm")

from mars2_agents import Replicas, TransformersPolicy  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising, WeightsRef  # noqa: E402
from mars2_agents.policies.engine import Engine  # noqa: E402
from mars2_agents.policies.stages import Stages, ToolUser  # noqa: E402
from mars2_agents.policies.transformers import Settings  # noqa: E402
from mars2_agents.training.weights import deliver  # noqa: E402

from mars2_env.errors import PolicyError, PolicyUnavailableError  # noqa: E402
from mars2_env.types import Call, Generation, Problem, Reply, TestCase, Turn  # noqa: E402

ADD = Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),))
ASKED = ({"role": "user", "content": "Write a function that returns the sum of two numbers."},)
TURN = Turn(0, "coder_0", ADD.public_view(), 7, ASKED, 0, (0,))  # type: ignore[arg-type]
TURNS = [replace(TURN, seed=seed) for seed in range(4)]
SAMPLING = Settings(temperature=0.7, top_p=1.0, max_new_tokens=12)
UPDATES = 3


def made(reply: Reply) -> Generation:
    assert reply.generation is not None
    return reply.generation


def learner_of(model: Any, *, lora: bool, seed: int = 0) -> Learner:
    """A learner of the tiny model whose steps are large enough to be heard."""
    net = copy.deepcopy(model)
    if lora:
        import peft

        torch.manual_seed(seed)
        net = peft.get_peft_model(net, peft.LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj"]))
    return Learner(net, Optimising(lr=2e-2))


def learnt(learner: Learner, policy: Any, folder: Path) -> WeightsRef:
    """The weights after an update that makes what the policy now writes likelier."""
    written = [made(reply) for reply in policy.act(TURNS)]
    learner.backward(written, [torch.full((len(one.completion_ids),), -0.1) for one in written])
    learner.step()
    return learner.export(folder / f"v{learner.version}")


def apart(learner: Learner, written: list[Generation]) -> float:
    """The largest difference between what the sampler told of its tokens and what the learner makes of them."""
    scores = learner.score(written, temperature=SAMPLING.temperature)
    told = [torch.tensor(one.logprobs) for one in written]
    return max(float((a - b).abs().max()) for a, b in zip(scores, told, strict=True))


@pytest.fixture
def engine(model: Any, tokenizer: Any) -> Engine:
    """An engine with a model of its own: what is delivered changes it."""
    return Engine(copy.deepcopy(model), tokenizer, name="tiny")


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_after_each_sync_the_sampler_says_what_the_learner_scores(
    engine: Engine, model: Any, tmp_path: Path, lora: bool
) -> None:
    policy, learner = TransformersPolicy(engine, settings=SAMPLING), learner_of(model, lora=lora)
    for update in range(1, UPDATES + 1):
        ref = learnt(learner, policy, tmp_path)
        assert (ref.version, ref.adapter) == (update, lora)
        stale = [made(reply) for reply in policy.act(TURNS)]
        assert {one.weights_version for one in stale} == {update - 1}
        assert apart(learner, stale) > 1e-2  # or the test could not fail
        deliver(policy, ref)
        fresh = [made(reply) for reply in policy.act(TURNS)]
        assert {one.weights_version for one in fresh} == {update}
        assert apart(learner, fresh) < 1e-4


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_versions_rise_and_the_same_weights_twice_do_nothing(
    engine: Engine, model: Any, tmp_path: Path, lora: bool
) -> None:
    policy, learner = TransformersPolicy(engine, settings=SAMPLING), learner_of(model, lora=lora)
    first, second = (learnt(learner, policy, tmp_path) for _ in range(2))
    deliver(policy, second)
    before = policy.act(TURNS)
    deliver(policy, second)
    deliver(policy, WeightsRef(f"{tmp_path}/../{tmp_path.name}/v2", 2, lora))  # the same folder by another way
    assert policy.act(TURNS) == before
    with pytest.raises(PolicyError, match=r"version=1\).*has version 2; versions have to rise"):
        deliver(policy, first)
    with pytest.raises(PolicyError, match="has other weights of that version"):
        deliver(policy, WeightsRef(first.path, 2, lora))
    assert policy.act(TURNS) == before


def test_a_learner_that_has_learnt_nothing_yet_changes_nothing(engine: Engine, model: Any, tmp_path: Path) -> None:
    policy = TransformersPolicy(engine, settings=SAMPLING)
    before = policy.act(TURNS)
    deliver(policy, learner_of(model, lora=False).export(tmp_path / "full"))
    assert policy.act(TURNS) == before


def test_policies_of_one_engine_share_full_weights_and_not_adapters(engine: Engine, model: Any, tmp_path: Path) -> None:
    first, second = (TransformersPolicy(engine, settings=SAMPLING) for _ in range(2))
    ref = learnt(learner_of(model, lora=False), first, tmp_path)
    deliver(first, ref)
    deliver(second, ref)  # it has them already
    assert [made(one.act([TURN])[0]).weights_version for one in (first, second)] == [1, 1]
    before = second.act(TURNS)
    learner = learner_of(engine.model, lora=True)
    deliver(first, replace(learner.export(tmp_path / "adapter"), version=5))
    assert made(first.act([TURN])[0]).weights_version == 5
    assert second.act(TURNS) == before
    deliver(second, replace(learner.export(tmp_path / "other"), version=7))
    assert [made(one.act([TURN])[0]).weights_version for one in (first, second)] == [5, 7]


def test_two_learners_of_one_engines_full_weights_are_found_out(engine: Engine, model: Any, tmp_path: Path) -> None:
    policies = [TransformersPolicy(engine, settings=SAMPLING) for _ in range(2)]
    refs = [
        learnt(learner_of(model, lora=False), policy, tmp_path / str(place)) for place, policy in enumerate(policies)
    ]
    deliver(policies[0], refs[0])
    with pytest.raises(PolicyError, match="need engines, or adapters, of their own"):
        deliver(policies[1], refs[1])


def test_full_weights_are_not_put_below_an_adapter(engine: Engine, model: Any, tmp_path: Path) -> None:
    policy = TransformersPolicy(engine, settings=SAMPLING)
    full = learner_of(model, lora=False).export(tmp_path / "full")
    deliver(policy, learner_of(model, lora=True).export(tmp_path / "adapter"))
    with pytest.raises(PolicyError, match=r"TransformersPolicy\('tiny'.* acts with a LoRA adapter, and takes adapters"):
        deliver(policy, replace(full, version=1))


def test_weights_that_cannot_be_loaded_leave_those_from_before(engine: Engine, tmp_path: Path) -> None:
    policy = TransformersPolicy(engine, settings=SAMPLING)
    before = policy.act(TURNS)
    for adapter in (False, True):
        with pytest.raises(PolicyError, match="nowhere"):
            deliver(policy, WeightsRef(str(tmp_path / "nowhere"), 1, adapter))
    assert policy.act(TURNS) == before


class Own:
    """A policy with weights of its own kind."""

    def __init__(self) -> None:
        self.weights_version = 0
        self.loaded: list[WeightsRef] = []
        self.gone = False

    def act(self, turns: list[Turn]) -> list[Reply]:
        if self.gone:
            raise PolicyUnavailableError("gone")
        return [Reply(f"weights {self.weights_version}") for _ in turns]

    def load_weights(self, ref: WeightsRef) -> None:
        if self.gone:
            raise PolicyUnavailableError("gone")
        self.loaded.append(ref)
        self.weights_version = ref.version


class Fixed:
    """A policy that learns nothing."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        return [Reply("") for _ in turns]

    def __repr__(self) -> str:
        return "Fixed()"


def test_a_policy_of_ones_own_loads_by_itself_and_each_version_once() -> None:
    policy = Own()
    for version in (1, 2, 2):
        deliver(policy, WeightsRef("/w", version))
    assert [ref.version for ref in policy.loaded] == [1, 2]
    with pytest.raises(PolicyError, match="versions have to rise"):
        deliver(policy, WeightsRef("/w", 1))


def test_a_policy_that_takes_no_weights_is_named_with_those_that_do() -> None:
    with pytest.raises(PolicyError, match=r"Fixed\(\) takes no weights; these do: TransformersPolicy.*load_weights"):
        deliver(Fixed(), WeightsRef("/w", 1))


def test_every_member_of_a_team_takes_the_weights_or_none_does() -> None:
    coder, planner = Own(), Own()
    deliver(Stages(coder, planner=planner, debugger=ToolUser(coder)), WeightsRef("/w", 1))
    assert [len(one.loaded) for one in (coder, planner)] == [1, 1]
    with pytest.raises(PolicyError, match=r"Fixed\(\) takes no weights"):
        deliver(Stages(coder, planner=planner, debugger=ToolUser(Fixed())), WeightsRef("/w", 2))
    assert [len(one.loaded) for one in (coder, planner)] == [1, 1]


def test_replicas_take_the_weights_all_of_them_and_who_is_gone_when_it_comes_back() -> None:
    members = [Own(), Own(), Own()]
    policy = Replicas(members)
    deliver(policy, WeightsRef("/w", 1))
    members[1].gone = True
    deliver(policy, WeightsRef("/w", 2))  # it turns out to be gone
    assert policy.alive == (0, 2)
    deliver(policy, WeightsRef("/w", 3))
    policy.revive()
    assert policy.alive == (0, 2)
    members[1].gone = False
    policy.revive()
    assert len(policy.alive) == 3
    assert [[ref.version for ref in one.loaded] for one in members] == [[1, 2, 3], [1, 3], [1, 2, 3]]
    for one in members:
        one.gone = True
    with pytest.raises(PolicyUnavailableError, match="all 3 replicas are gone"):
        deliver(policy, WeightsRef("/w", 4))


def test_a_replica_that_takes_no_weights_is_named_before_any_takes_them() -> None:
    member = Own()
    with pytest.raises(PolicyError, match=r"Fixed\(\) takes no weights"):
        deliver(Replicas([member, Fixed()]), WeightsRef("/w", 1))
    assert not member.loaded
