"""The policy that asks vLLM, against a small server of our own; test_vllm_model.py has the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="needs the extra vllm")
pytest.importorskip("transformers", reason="needs the extra vllm")

from fake_vllm import EOS, GENERATE, FakeVLLM, running, tokens
from mars2_agents.policies.chat_tokens import with_system
from mars2_agents.policies.vllm import Settings, VLLMPolicy, from_spec
from mars2_agents.policies.vllm_http import HTTPEngine

from mars2_env.errors import ConfigError, PolicyError, PolicyUnavailableError
from mars2_env.types import Closes, Generates, Gives, Identified, Limited, Limits, Policy, PublicView, Stdin, Turn


def turn(seed: int = 1, text: str = "add two numbers", problem: str = "p", parent: int | None = 0) -> Turn:
    """A turn with one user message."""
    view = PublicView(problem, text, Stdin(), (), "", Limits())
    return Turn(0, "coder_0", view, seed, ({"role": "user", "content": text},), parent, (0,))


async def at_once(seconds: float) -> None:
    """What waits between tries, here not at all."""


class Engines:
    """Makes engines against a server, and closes them."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.made: list[HTTPEngine] = []

    def __call__(self, fake: FakeVLLM, **options: Any) -> HTTPEngine:
        options = {"tokenizer": self.tokenizer, "wait": at_once} | options
        self.made.append(HTTPEngine(fake.url, **options))
        return self.made[-1]


@pytest.fixture
def engine(tokenizer: Any) -> Iterator[Engines]:
    made = Engines(tokenizer)
    yield made
    for one in made.made:
        one.close()


@pytest.fixture
def fake() -> Iterator[FakeVLLM]:
    with running(FakeVLLM()) as server:
        yield server


def test_a_policy_has_every_ability_that_a_run_asks_for(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    assert all(isinstance(policy, ability) for ability in (Policy, Generates, Limited, Gives, Closes, Identified))
    assert set(policy.gives) == {"token_ids", "logprobs", "token_counts"}
    assert policy.concurrency == 64


@pytest.mark.parametrize("scale_out", [True, False])
def test_token_ids_and_log_probs_of_the_server_are_in_the_generation(engine: Engines, scale_out: bool) -> None:
    with running(FakeVLLM(scale_out=scale_out)) as fake:
        policy = VLLMPolicy(engine(fake), temperature=0.7, top_p=0.9, top_k=40, max_new_tokens=8)
        (reply,) = policy.act([turn(5)])
        made = reply.generation
        assert made is not None
        wanted = tokens(list(made.prompt_ids), 5, "base", "default", 8)
        assert made.completion_ids == tuple(wanted)
        assert wanted[-1] == EOS
        assert made.logprobs == tuple(-0.5 * (place + 1) for place in range(len(wanted)))
        assert (made.logprobs_kind, made.temperature, made.top_p, made.top_k) == ("sampled", 0.7, 0.9, 40)
        assert (made.finish_reason, made.weights_version, made.weights_spans) == ("stop", 0, ())
        assert reply.text == policy.engine.tokenizer.decode(wanted[:-1])


def test_each_turn_is_a_request_of_its_own_with_its_own_seed(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    fake.barrier = 3  # no request is answered until all three are there
    replies = policy.act([turn(7), turn(8), turn(7)])
    assert sorted(body["sampling_params"]["seed"] for body in fake.generations) == [7, 7, 8]
    assert replies[0].text == replies[2].text != replies[1].text


def test_replies_to_a_batch_come_in_the_order_of_the_turns(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    seeds = list(range(20))
    together = [reply.text for reply in policy.act([turn(seed) for seed in seeds])]
    assert together == [policy.act([turn(seed)])[0].text for seed in seeds]


def test_no_more_requests_are_under_way_than_the_engine_wants(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake, concurrency=2), max_new_tokens=8)
    fake.barrier = 2
    policy.act([turn(seed) for seed in range(8)])
    assert fake.most_running == 2


def test_every_sampling_setting_is_said_so_that_no_default_of_the_server_decides(
    fake: FakeVLLM, engine: Engines
) -> None:
    VLLMPolicy(engine(fake), temperature=1.0, top_p=1.0, max_new_tokens=8, stop=("\n\n",)).act([turn(3)])
    said = fake.generations[0]["sampling_params"]
    assert said == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": 8,
        "seed": 3,
        "logprobs": 0,
        "detokenize": True,
        "stop": ["\n\n"],
    }


@pytest.mark.parametrize(("priority", "said"), [(True, 4), (False, None)])
def test_priority_is_passed_on_where_the_server_schedules_by_it(
    engine: Engines, priority: bool, said: int | None
) -> None:
    with running(FakeVLLM(priority=priority)) as fake:
        policy = VLLMPolicy(engine(fake), max_new_tokens=8)
        asyncio.run(policy.generate(turn(), priority=4))
        assert fake.generations[0].get("priority") == said


@pytest.mark.parametrize(
    ("processed", "temperature", "kind"), [(True, 0.8, "sampled"), (False, 0.8, "raw"), (True, 0.0, "raw")]
)
def test_log_probs_are_called_what_the_server_makes_them(
    engine: Engines, processed: bool, temperature: float, kind: str
) -> None:
    with running(FakeVLLM(processed=processed)) as fake:
        (reply,) = VLLMPolicy(engine(fake), temperature=temperature, max_new_tokens=8).act([turn()])
        assert reply.generation is not None
        assert reply.generation.logprobs_kind == kind


def test_a_prompt_that_is_too_long_is_cut_and_says_so(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=100)
    (short,) = policy.act([turn(text="add")])
    (long,) = policy.act([turn(text="add two numbers and print them " * 60)])
    assert short.generation is not None
    assert long.generation is not None
    assert short.generation.prompt_cut == 0
    assert len(long.generation.prompt_ids) == 156  # of the server's 256, less 100 for the reply
    assert long.generation.prompt_cut > 100


def test_a_stop_text_ends_the_reply_before_it(fake: FakeVLLM, engine: Engines) -> None:
    own = engine(fake)
    (whole,) = VLLMPolicy(own, max_new_tokens=8).act([turn(4)])
    (cut,) = VLLMPolicy(own, max_new_tokens=8, stop=(whole.text[2:4],)).act([turn(4)])
    assert cut.text == whole.text[: whole.text.find(whole.text[2:4])]


def test_a_role_stands_behind_the_system_message_of_a_turn(fake: FakeVLLM, engine: Engines) -> None:
    told = turn()
    told = replace(told, messages=({"role": "system", "content": "Write Python."}, *told.messages))
    assert with_system(told.messages, "You review.")[0] == {"role": "system", "content": "Write Python.\n\nYou review."}
    assert with_system(turn().messages, "You review.")[0] == {"role": "system", "content": "You review."}
    own = engine(fake)
    plain, role = (VLLMPolicy(own, max_new_tokens=8, system=text) for text in ("", "You review."))
    ids = [policy.act([told])[0].generation for policy in (plain, role)]
    assert ids[0] is not None
    assert ids[1] is not None
    assert len(ids[0].prompt_ids) < len(ids[1].prompt_ids)


def test_the_parent_is_taken_from_the_reply_where_the_agent_chooses_it(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    chosen, given = policy.act([turn(parent=None), turn(parent=0)])
    assert (chosen.parent, given.parent) == (0, None)


def test_who_is_cancelled_hangs_up_on_the_server(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    fake.faults.append("hang")

    async def cancel() -> None:
        task = asyncio.create_task(policy.generate(turn(), priority=0))
        await asyncio.to_thread(fake.hanging.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert fake.gone.wait(60)
    assert policy.act([turn(2)])[0].text


@pytest.mark.parametrize("fault", ["drop", "abort", 500, 503, 429])
def test_a_request_that_was_dropped_is_made_again_with_the_same_seed(
    fake: FakeVLLM, engine: Engines, fault: str | int
) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    (wanted,) = policy.act([turn(9)])
    fake.faults.extend([fault, fault])
    assert policy.act([turn(9)])[0].text == wanted.text
    assert [body["sampling_params"]["seed"] for body in fake.generations] == [9] * 4


def test_a_server_that_drops_every_try_is_unavailable(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake, pauses=(0, 0)), max_new_tokens=8)
    fake.faults.extend([500] * 3)
    with pytest.raises(PolicyUnavailableError, match="does not answer: status 500: a fault"):
        policy.act([turn()])
    assert len(fake.generations) == 3


def test_a_request_that_is_refused_is_not_made_again(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    fake.faults.append(422)
    with pytest.raises(PolicyError, match=r"refused a request \(422\): a fault") as caught:
        policy.act([turn()])
    assert not isinstance(caught.value, PolicyUnavailableError)
    assert len(fake.generations) == 1


def test_a_request_that_takes_too_long_is_given_up(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake, timeout=0.2), max_new_tokens=8)
    fake.faults.append("hang")
    with pytest.raises(PolicyUnavailableError, match=r"did not answer in 0\.2 s"):
        policy.act([turn()])
    assert fake.gone.wait(60)


def test_new_weights_are_loaded_while_the_server_stands_still_and_then_named(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    (before,) = policy.act([turn(6)])
    fake.calls.clear()
    policy.update_weights("/weights/2", 2)
    assert fake.calls == [
        ("/pause", {"mode": ["keep"]}),
        ("/collective_rpc", {"method": "reload_weights", "kwargs": {"weights_path": "/weights/2"}}),
        ("/update_weight_version", {"new_version": "2"}),
        ("/resume", {}),
    ]
    (after,) = policy.act([turn(6)])
    assert before.generation is not None
    assert after.generation is not None
    assert (before.generation.weights_version, after.generation.weights_version) == (0, 2)
    assert "weights=2" in policy.identity


def test_what_is_cached_of_old_weights_is_not_used_by_new_requests(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    policy.act([turn(1), turn(2)])
    policy.update_weights("/weights/2", 2)
    policy.act([turn(1)])
    salts = [body["cache_salt"] for body in fake.generations]
    assert salts[0] == salts[1] != salts[2]


def test_turns_that_come_while_weights_are_loaded_wait_for_them(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    policy.act([turn()])
    fake.hold_reload = Event()

    async def meanwhile() -> Any:
        update = asyncio.create_task(policy.aupdate_weights("/weights/2", 2))
        await asyncio.to_thread(fake.reloading.wait)
        reply = asyncio.create_task(policy.generate(turn(), priority=0))
        await asyncio.sleep(0)
        assert fake.hold_reload is not None
        fake.hold_reload.set()
        await update
        return await reply

    reply = asyncio.run(meanwhile())
    assert reply.generation.weights_version == 2
    assert fake.routes[-2:] == ["/resume", GENERATE]


def test_a_reply_that_two_versions_wrote_says_which_wrote_what(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    fake.label = "2to3"
    (reply,) = policy.act([turn()])
    assert reply.generation is not None
    assert reply.generation.weights_version == 2
    assert reply.generation.weights_spans == ((2, 0), (3, 3))


def test_weights_that_somebody_else_loaded_are_noticed(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    policy.act([turn()])
    fake.label = "7"
    policy.act([turn()])
    policy.act([turn()])
    assert policy.weights_version == 7
    salts = [body["cache_salt"] for body in fake.generations]
    assert salts[0] == salts[1] != salts[2]


def test_a_server_that_tells_no_spans_finishes_its_replies_before_it_loads(engine: Engines) -> None:
    with running(FakeVLLM(scale_out=False)) as fake:
        policy = VLLMPolicy(engine(fake), max_new_tokens=8)
        policy.update_weights("/weights/1", 1)
        assert ("/pause", {"mode": ["wait"]}) in fake.calls
        (reply,) = policy.act([turn()])
        assert reply.generation is not None
        assert reply.generation.weights_version == 1


def test_weights_that_cannot_be_loaded_leave_those_from_before(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), max_new_tokens=8)
    policy.update_weights("/weights/1", 1)
    fake.bad_weights.add("/weights/2")
    with pytest.raises(PolicyError, match="no such weights"):
        policy.update_weights("/weights/2", 2)
    loaded = [body["kwargs"]["weights_path"] for route, body in fake.calls if route == "/collective_rpc"]
    assert loaded == ["/weights/1", "/weights/2", "/weights/1"]
    assert fake.routes[-1] == "/resume"
    (reply,) = policy.act([turn()])
    assert reply.generation is not None
    assert reply.generation.weights_version == 1


def test_a_server_without_control_routes_says_what_it_lacks(engine: Engines) -> None:
    with running(FakeVLLM(control=False)) as fake:
        policy = VLLMPolicy(engine(fake), max_new_tokens=8)
        with pytest.raises(PolicyError, match="VLLM_SERVER_DEV_MODE=1"):
            policy.update_weights("/weights/2", 2)
        assert policy.act([turn()])[0].text


def test_policies_over_one_server_have_adapters_of_their_own(fake: FakeVLLM, engine: Engines) -> None:
    own = engine(fake)
    base, one, two = (VLLMPolicy(own, lora=lora, max_new_tokens=8) for lora in (None, "/lora/one", "/lora/two"))
    texts = {policy.act([turn(3)])[0].text for policy in (base, one, two)}
    assert len(texts) == 3
    assert sorted(fake.loras.values()) == ["/lora/one", "/lora/two"]
    assert fake.generations[0]["model"] == "base"


def test_a_new_version_of_an_adapter_has_a_new_name_and_the_old_one_goes(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), lora="/lora/a", max_new_tokens=8)
    policy.act([turn()])
    (first,) = fake.loras
    policy.update_weights("/lora/a2", 2)
    (reply,) = policy.act([turn()])
    (second,) = fake.loras
    assert reply.generation is not None
    assert reply.generation.weights_version == 2
    assert first != second
    assert fake.loras[second] == "/lora/a2"
    assert fake.routes.index("/v1/unload_lora_adapter") > fake.routes.index("/v1/load_lora_adapter")
    assert "/pause" not in fake.routes


def test_an_adapter_goes_only_when_no_reply_needs_it(fake: FakeVLLM, engine: Engines) -> None:
    policy = VLLMPolicy(engine(fake), lora="/lora/a", max_new_tokens=8)
    policy.act([turn()])
    fake.faults.append("hang")

    async def meanwhile() -> list[str]:
        reply = asyncio.create_task(policy.generate(turn(), priority=0))
        await asyncio.to_thread(fake.hanging.wait)
        await policy.aupdate_weights("/lora/b", 1)
        held = sorted(fake.loras.values())
        reply.cancel()
        await asyncio.gather(reply, return_exceptions=True)
        await policy.generate(turn(), priority=0)
        return held

    assert asyncio.run(meanwhile()) == ["/lora/a", "/lora/b"]
    assert list(fake.loras.values()) == ["/lora/b"]


def test_an_adapter_that_cannot_be_loaded_says_what_a_server_needs(fake: FakeVLLM, engine: Engines) -> None:
    fake.bad_weights.add("/lora/bad")
    with pytest.raises(PolicyError, match=r"/lora/bad cannot be loaded.*max_loras"):
        VLLMPolicy(engine(fake), lora="/lora/bad").act([turn()])


def test_a_closed_policy_says_so(fake: FakeVLLM, tokenizer: Any) -> None:
    policy = VLLMPolicy(fake.url, tokenizer=tokenizer, max_new_tokens=8)
    policy.act([turn()])
    policy.close()
    policy.close()
    with pytest.raises(PolicyError, match="is closed"):
        policy.act([turn()])


def test_nobody_listening_is_unavailable(tokenizer: Any) -> None:
    engine = HTTPEngine("http://127.0.0.1:9/v1", tokenizer=tokenizer, pauses=(0,), wait=at_once)
    try:
        with pytest.raises(PolicyUnavailableError, match="does not answer"):
            VLLMPolicy(engine).act([turn()])
    finally:
        engine.close()


def test_a_spec_with_an_address_uses_the_server_there(fake: FakeVLLM, tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    policy = from_spec(f"{tmp_path}@{fake.url}", temperature=0.5, max_new_tokens=8)
    try:
        (reply,) = policy.act([turn()])
        assert reply.generation is not None
        assert reply.generation.temperature == 0.5
        assert policy.identity.startswith(f"vllm:{tmp_path},weights=0,temperature=0.5,")
    finally:
        policy.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/v1", "unix:/nowhere/vllm"])
def test_a_server_that_a_spec_names_and_nobody_runs_is_said_before_the_first_turn(address: str) -> None:
    with pytest.raises(PolicyUnavailableError, match=f"nothing listens at {address}"):
        from_spec(f"smollm2@{address}")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Settings(temperature=-1), "temperature"),
        (lambda: Settings(top_p=0), "top_p"),
        (lambda: Settings(top_k=-1), "top_k"),
        (lambda: Settings(stop="x"), "stop"),  # type: ignore[arg-type]
        (lambda: VLLMPolicy("http://x", temprature=1), "temperature"),
        (lambda: VLLMPolicy("ftp://x"), "http://host:port"),
        (lambda: from_spec(""), "needs a model"),
        (lambda: from_spec("smollm2", top_p=2), "top_p"),
        (lambda: from_spec("@http://h:1/v1", max_num_seqs=4), "takes no options of how it is run"),
    ],
)
def test_a_slip_is_an_error_that_names_it(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()
