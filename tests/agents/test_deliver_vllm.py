"""New weights to policies behind vLLM, against a small server of our own that notes what it is asked in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("httpx2", reason="needs the extra vllm")
pytest.importorskip("transformers", reason="needs the extra vllm")

from fake_vllm import GENERATE, FakeVLLM, running
from mars2_agents import Replicas
from mars2_agents.learners.learner import WeightsRef
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_agents.policies.vllm_http import HTTPEngine
from mars2_agents.training.weights import deliver

from mars2_env.errors import PolicyError
from mars2_env.types import Generation, Limits, PublicView, Stdin, Turn


def turn(seed: int = 1) -> Turn:
    """A turn with one user message."""
    view = PublicView("p", "add two numbers", Stdin(), (), "", Limits())
    return Turn(0, "coder_0", view, seed, ({"role": "user", "content": "add two numbers"},), 0, (0,))


def asked(policy: Any, seed: int = 1) -> Generation:
    (reply,) = policy.act([turn(seed)])
    assert reply.generation is not None
    return reply.generation


@pytest.fixture
def fake() -> Iterator[FakeVLLM]:
    with running(FakeVLLM()) as server:
        yield server


@pytest.fixture
def engine(fake: FakeVLLM, tokenizer: Any) -> Iterator[HTTPEngine]:
    made = HTTPEngine(fake.url, tokenizer=tokenizer)
    yield made
    made.close()


def test_full_weights_come_between_pause_and_resume_and_nothing_cached_outlives_them(
    fake: FakeVLLM, engine: HTTPEngine
) -> None:
    policy = VLLMPolicy(engine, max_new_tokens=8)
    versions = [asked(policy).weights_version]
    for version in (1, 2):
        deliver(policy, WeightsRef(f"/weights/{version}", version))
        versions.append(asked(policy).weights_version)
    assert versions == [0, 1, 2]
    first = fake.routes.index("/pause")
    sync = ["/pause", "/collective_rpc", "/update_weight_version", "/resume", GENERATE]
    assert fake.routes[first:] == sync * 2
    assert len({body["cache_salt"] for body in fake.generations}) == 3


def test_what_a_policy_has_already_asks_the_server_for_nothing(fake: FakeVLLM, engine: HTTPEngine) -> None:
    policy, beside = (VLLMPolicy(engine, max_new_tokens=8) for _ in range(2))
    deliver(policy, WeightsRef("/weights/3", 3))
    calls = len(fake.calls)
    deliver(policy, WeightsRef("/weights/3", 3))
    deliver(beside, WeightsRef("/weights/3", 3))  # the base model is shared
    assert len(fake.calls) == calls
    with pytest.raises(PolicyError, match=r"VLLMPolicy\(.*has version 3; versions have to rise"):
        deliver(beside, WeightsRef("/weights/2", 2))
    with pytest.raises(PolicyError, match="other weights of that version"):
        deliver(beside, WeightsRef("/weights/of/another", 3))


def test_a_learners_adapter_goes_over_the_base_model_under_a_new_name_each_time(
    fake: FakeVLLM, engine: HTTPEngine
) -> None:
    policy, beside = (VLLMPolicy(engine, max_new_tokens=8) for _ in range(2))
    told = [asked(policy).weights_version]
    names = []
    for version in (0, 1, 2, 2):
        deliver(policy, WeightsRef(f"/lora/{version}", version, adapter=True))
        told.append(asked(policy).weights_version)
        names.append(fake.generations[-1]["model"])
    assert told == [0, 0, 1, 2, 2]
    assert len({"base", *names}) == 4 and names[2] == names[3]
    assert list(fake.loras.values()) == ["/lora/2"]
    assert "/pause" not in fake.routes
    asked(beside)
    assert fake.generations[-1]["model"] == "base"


def test_full_weights_are_not_put_below_an_adapter(fake: FakeVLLM, engine: HTTPEngine) -> None:
    policy = VLLMPolicy(engine, lora="/lora/a", max_new_tokens=8)
    with pytest.raises(PolicyError, match="acts with a LoRA adapter, and takes adapters"):
        deliver(policy, WeightsRef("/weights/1", 1))
    assert "/pause" not in fake.routes


def test_a_turn_that_waits_for_its_seat_keeps_the_adapter_that_it_was_given(fake: FakeVLLM, tokenizer: Any) -> None:
    engine = HTTPEngine(fake.url, tokenizer=tokenizer, concurrency=1)
    policy = VLLMPolicy(engine, lora="/lora/0", max_new_tokens=8)
    fake.faults.append("hang")

    async def meanwhile() -> list[int]:
        first = asyncio.create_task(policy.generate(turn(1), priority=0))
        await asyncio.to_thread(fake.hanging.wait)
        second = asyncio.create_task(policy.generate(turn(2), priority=0))
        await asyncio.sleep(0)
        await asyncio.to_thread(deliver, policy, WeightsRef("/lora/1", 1, adapter=True))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        replies = [await second, await policy.generate(turn(3), priority=0)]
        return [reply.generation.weights_version for reply in replies if reply.generation]

    try:
        assert asyncio.run(meanwhile()) == [0, 1]
    finally:
        engine.close()
    assert list(fake.loras.values()) == ["/lora/1"]


def test_replicas_of_servers_all_load_the_weights(tokenizer: Any) -> None:
    with running(FakeVLLM()) as one, running(FakeVLLM()) as other:
        engines = [HTTPEngine(fake.url, "/tokenizer", tokenizer=tokenizer) for fake in (one, other)]
        try:
            policy = Replicas([VLLMPolicy(engine, max_new_tokens=8) for engine in engines])
            deliver(policy, WeightsRef("/weights/1", 1))
            deliver(policy, WeightsRef("/weights/1", 1))
            assert [fake.routes.count("/collective_rpc") for fake in (one, other)] == [1, 1]
            assert [fake.label for fake in (one, other)] == ["1", "1"]
            assert "weights=1" in policy.identity
        finally:
            for engine in engines:
                engine.close()
