"""A policy that samples at a service by Tinker's protocol, with the weights that a learner there came to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from mars2_agents.learners.learner import Optimising, WeightsRef  # noqa: E402
from mars2_agents.learners.tinker import TinkerLearner, begin  # noqa: E402
from mars2_agents.learners.updating import update  # noqa: E402
from mars2_agents.policies.tinker import Settings, TinkerPolicy  # noqa: E402
from mars2_agents.training.weights import deliver  # noqa: E402
from small_learners import gspo, sample  # noqa: E402
from tinker_service import TYPES, ServiceClient  # noqa: E402

from mars2_env import ConfigError, Generation, PolicyError  # noqa: E402
from mars2_env.types import Call, Policy, Problem, TestCase, Turn  # noqa: E402

TURN = Turn(
    id=0,
    agent="coder_0",
    problem=Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),)).public_view(),
    seed=2**40 + 7,
    messages=({"role": "user", "content": "def add(a, b):"},),
    parent=0,
    parents=(0,),
)


@pytest.fixture
def both(tokenizer: Any) -> tuple[TinkerPolicy, TinkerLearner]:
    """A policy and a learner at one service."""
    service = ServiceClient(vocab_size=len(tokenizer), max_position_embeddings=256)
    policy = TinkerPolicy(service, "tiny", tokenizer, types=TYPES, max_new_tokens=6, context=128)
    return policy, begin(service, "tiny", Optimising(lr=0.05), rank=4, types=TYPES)


def written(policy: TinkerPolicy, seeds: int = 4) -> list[Generation]:
    found = [reply.generation for reply in policy.act([replace(TURN, seed=TURN.seed + one) for one in range(seeds)])]
    assert all(one is not None for one in found)
    return found  # type: ignore[return-value]


def apart(learner: TinkerLearner, told: list[Generation]) -> float:
    """How far the sampler's log-probabilities are from the learner's."""
    scored = learner.score([sample(one.prompt_ids, one.completion_ids, 0.0) for one in told])
    pairs = zip(scored, told, strict=True)
    return max(float((one - torch.tensor(other.logprobs)).abs().max()) for one, other in pairs)


def test_it_acts_with_the_weights_that_the_learner_exports_and_says_which(both: Any) -> None:
    policy, learner = both
    assert isinstance(policy, Policy)
    before = written(policy)
    assert apart(learner, before) < 1e-4 and {one.weights_version for one in before} == {0}
    batch = [sample(one.prompt_ids, one.completion_ids, (-1.0) ** place) for place, one in enumerate(before)]
    update(learner, batch, gspo)
    assert apart(learner, before) > 1e-3  # the learner has moved on, and the policy has not
    deliver(policy, learner.export("weights"))
    after = written(policy)
    assert apart(learner, after) < 1e-4 and {one.weights_version for one in after} == {1}
    assert "weights=tinker://run-0/sampler_weights/weights-00000001" in policy.identity
    deliver(policy, learner.export("weights"))
    with pytest.raises(PolicyError, match="versions have to rise"):
        deliver(policy, WeightsRef("tinker://run-0/x", 0, adapter=True))


def test_a_reply_is_a_function_of_the_turn_and_tells_what_a_learner_needs(both: Any, tokenizer: Any) -> None:
    policy, _ = both
    first, second = policy.act([TURN, replace(TURN, seed=1)])
    assert policy.act([TURN])[0] == first != second
    told = first.generation
    assert told.prompt_ids == policy.prompt_ids(TURN) and 1 <= len(told.completion_ids) == len(told.logprobs) <= 6
    assert (told.logprobs_kind, told.temperature, told.top_p) == ("sampled", 1.0, 1.0)
    ended = told.completion_ids[-1] == tokenizer.eos_token_id
    assert told.finish_reason == ("stop" if ended else "length")
    assert first.text == tokenizer.decode(told.completion_ids[:-1] if ended else told.completion_ids)
    assert policy.completion_ids("return a")[-1] == tokenizer.eos_token_id
    asked = policy._client.asked[0]
    assert asked.stop == [tokenizer.eos_token_id] and asked.seed == TURN.seed % 2**31


def test_a_prompt_that_does_not_fit_is_cut_and_that_is_said(both: Any) -> None:
    policy, _ = both
    long = replace(TURN, messages=({"role": "user", "content": "def add(a, b):\n" * 200},))
    (reply,) = policy.act([long])
    assert len(reply.generation.prompt_ids) <= 122 and reply.generation.prompt_cut > 100


def test_what_makes_no_sense_is_refused(both: Any, tokenizer: Any) -> None:
    policy, _ = both
    with pytest.raises(PolicyError, match="alone"):
        policy.load_weights(WeightsRef("/weights/here", 1))
    assert policy.weights_version == 0
    for name, value in (("temperature", -1), ("top_p", 0), ("max_new_tokens", 0), ("context", 1), ("system", 3)):
        with pytest.raises(ConfigError, match=name):
            Settings(**{name: value})


@pytest.mark.parametrize("kind", ["ModelInput", "SamplingParams"])
def test_the_package_takes_requests_as_they_are_made(kind: str) -> None:
    types = pytest.importorskip("tinker.types")
    if kind == "ModelInput":
        assert types.ModelInput.from_ints([1, 2]).to_ints() == [1, 2]
    else:
        made = types.SamplingParams(max_tokens=3, seed=1, stop=[2], temperature=1.0, top_p=1.0)
        assert (made.max_tokens, made.stop, made.top_k) == (3, [2], -1)
