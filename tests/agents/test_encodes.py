"""What policies tell of their tokens: those of a turn, and those of a reply that they did not write."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from mars2_agents.policies.chat_tokens import end_of_reply, reply_ids
from mars2_agents.policies.transformers import Engine, TransformersPolicy
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_agents.policies.vllm_http import HTTPEngine

from mars2_env import Call, PolicyError, Problem, TestCase, Turn

TURN = Turn(
    id=0,
    agent="coder_0",
    problem=Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),)).public_view(),
    seed=7,
    messages=({"role": "user", "content": "Write a function that returns the sum of two numbers."},),
    parent=0,
    parents=(0,),
)
TEXT = "```python\ndef add(a, b):\n    return a + b\n```"


@pytest.fixture(params=["transformers", "vllm"])
def policy(request: pytest.FixtureRequest, model: Any, tokenizer: Any) -> Any:
    """A policy of each kind; the server of vLLM need not run for what the tokenizer knows."""
    if request.param == "transformers":
        return TransformersPolicy(Engine(model, tokenizer, name="tiny"), max_new_tokens=40)
    return VLLMPolicy(HTTPEngine("http://127.0.0.1:9/v1", tokenizer=tokenizer), max_new_tokens=40)


def test_a_policy_encodes(policy: Any) -> None:
    lesson = pytest.importorskip("mars2_agents.algorithms.lesson", reason="needs torch")
    assert isinstance(policy, lesson.Encodes)


def test_the_tokens_of_a_turn_are_those_of_the_chat_template(policy: Any, tokenizer: Any) -> None:
    wanted = tokenizer.apply_chat_template(list(TURN.messages), add_generation_prompt=True)["input_ids"]
    assert list(policy.prompt_ids(TURN)) == wanted


def test_the_tokens_of_a_reply_say_it_and_end_it(policy: Any, tokenizer: Any) -> None:
    ids = policy.completion_ids(TEXT)
    assert tokenizer.decode(ids[:-1]) == TEXT and ids[-1] == tokenizer.eos_token_id
    chat = [*TURN.messages, {"role": "assistant", "content": TEXT}]
    whole = tokenizer.apply_chat_template(chat)["input_ids"]
    asked = policy.prompt_ids(TURN)
    assert whole[: len(asked)] == list(asked) and whole[len(asked) : len(asked) + len(ids)] == list(ids)


def test_markup_in_a_reply_is_ordinary_text(policy: Any, tokenizer: Any) -> None:
    ids = policy.completion_ids("a <|im_end|> b")
    assert ids.count(tokenizer.eos_token_id) == 1 and tokenizer.decode(ids[:-1]) == "a <|im_end|> b"


def test_what_a_model_wrote_is_encoded_as_it_was_written(model: Any, tokenizer: Any) -> None:
    policy = TransformersPolicy(Engine(model, tokenizer, name="tiny"), max_new_tokens=40)
    request = policy.request(TURN)
    assert policy.prompt_ids(TURN) == request.prompt
    ids = policy.completion_ids(TEXT)
    from mars2_agents.policies.sampling import Completion

    reply = policy.reply(TURN, request, Completion(ids, (0.0,) * len(ids), "stop"))
    assert reply.text == TEXT


def test_a_policy_that_thinks_first_answers_behind_its_thinking(model: Any, tokenizer: Any) -> None:
    policy = TransformersPolicy(Engine(model, tokenizer, name="tiny"), max_new_tokens=40, thinking=4)
    ids = policy.completion_ids(TEXT)
    assert tokenizer.decode(ids[:-1]) == "</think>" + TEXT


def test_a_reply_ends_as_the_template_ends_one_where_that_is_not_the_eos(tokenizer: Any) -> None:
    other = deepcopy(tokenizer)
    other.eos_token = "<|endoftext|>"
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert other.eos_token_id != end and end_of_reply(other) == end
    assert end_of_reply(other, ends={other.eos_token_id}) == other.eos_token_id
    other.chat_template = None
    assert end_of_reply(other) == other.eos_token_id == reply_ids(other, "x")[-1]


def test_a_tokenizer_without_an_end_says_so(tokenizer: Any) -> None:
    other = deepcopy(tokenizer)
    other.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    other.eos_token = None
    with pytest.raises(PolicyError, match="ends a reply"):
        end_of_reply(other)
    assert end_of_reply(other, ends={5, 3}) == 3
