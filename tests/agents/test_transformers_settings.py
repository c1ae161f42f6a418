"""Stop strings, roles, thinking and what generations tell of how they were sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from mars2_agents.policies import transformers as transformers_policy
from mars2_agents.policies.chat_tokens import CUT, fitted_prompt, with_system
from mars2_agents.policies.engine import _loaded
from mars2_agents.policies.transformers import Engine, Settings, TransformersPolicy, before_first, from_spec

from mars2_env.errors import ConfigError, PolicyError
from mars2_env.types import Call, Generation, Gives, Message, Problem, Reply, TestCase, Turn

ADD = Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),))
CHAT: tuple[Message, ...] = (
    {"role": "system", "content": "You are an expert Python programmer."},
    {"role": "user", "content": "Write a function that returns the sum of two numbers."},
)
TURN = Turn(0, "coder_0", ADD.public_view(), 7, CHAT, 0, (0,))
TURNS = [replace(TURN, seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def engine(model: Any, tokenizer: Any) -> Engine:
    return Engine(model, tokenizer, name="tiny")


def made(reply: Reply) -> Generation:
    assert reply.generation is not None
    return reply.generation


def test_a_generation_tells_how_it_was_sampled(engine: Engine) -> None:
    policy = TransformersPolicy(engine, temperature=0.7, top_p=0.9, top_k=30, max_new_tokens=6)
    assert isinstance(policy, Gives)
    assert policy.gives == {"token_ids", "logprobs", "token_counts"}
    told = made(policy.act([TURN])[0])
    assert (told.logprobs_kind, told.temperature, told.top_p, told.top_k) == ("sampled", 0.7, 0.9, 30)
    assert len(told.kept_mass) == len(told.completion_ids)
    assert all(0 < mass <= 1 for mass in told.kept_mass)
    assert told.prompt_cut == 0
    assert told.thinking_tokens is None


def test_a_cut_prompt_tells_how_many_of_its_tokens_are_missing(engine: Engine, tokenizer: Any) -> None:
    long: tuple[Message, ...] = ({"role": "user", "content": "x = 1\n" * 300},)
    whole = fitted_prompt(tokenizer, long, limit=10**6)
    cut = fitted_prompt(tokenizer, long, limit=100)
    mark = len(tokenizer.encode(CUT, add_special_tokens=False))
    assert whole.cut == 0
    assert cut.cut == len(whole.ids) - (len(cut.ids) - mark)
    told = made(TransformersPolicy(engine, max_new_tokens=4, context=104).act([replace(TURN, messages=long)])[0])
    assert told.prompt_cut == cut.cut


def test_a_stop_string_ends_the_reply_before_it_and_the_tokens_with_it(engine: Engine) -> None:
    free = TransformersPolicy(engine, max_new_tokens=20).act(TURNS)
    longest = max(free, key=lambda reply: len(reply.text))
    stop = longest.text[4:6]
    assert len(stop) == 2
    for whole, ended in zip(free, TransformersPolicy(engine, max_new_tokens=20, stop=stop).act(TURNS), strict=True):
        assert ended.text == before_first(whole.text, [stop])
        ids = made(ended).completion_ids
        assert ids == made(whole).completion_ids[: len(ids)]
        if stop in whole.text:
            assert made(ended).finish_reason == "stop"
            assert stop in engine.tokenizer.decode(ids, skip_special_tokens=True)
            assert stop not in engine.tokenizer.decode(ids[:-1], skip_special_tokens=True)


def test_a_role_is_a_system_text_behind_what_agents_share() -> None:
    assert with_system(CHAT, "Be brief.") == (
        {"role": "system", "content": "You are an expert Python programmer.\n\nBe brief."},
        CHAT[1],
    )
    assert with_system(CHAT[1:], "Be brief.") == ({"role": "system", "content": "Be brief."}, CHAT[1])
    plain: Sequence[Message] = [{"role": "assistant", "content": "def add"}]
    assert with_system(plain, "Be brief.") == ({"role": "assistant", "content": "Be brief.\n\ndef add"},)
    assert with_system(CHAT, "") == CHAT


def test_policies_of_one_model_have_roles_of_their_own(engine: Engine, tokenizer: Any) -> None:
    roles = [TransformersPolicy(engine, system=text, max_new_tokens=2) for text in ("Plan.", "Mend.")]
    replies = TransformersPolicy.act_together([(policy, TURN) for policy in roles])
    prompts = [tokenizer.decode(made(reply).prompt_ids) for reply in replies]
    assert [text.count(word) for text, word in zip(prompts, ("Plan.", "Mend."), strict=True)] == [1, 1]
    assert roles[0].identity != roles[1].identity


def test_thinking_stays_in_the_generation_and_out_of_the_text(engine: Engine, tokenizer: Any) -> None:
    policy = TransformersPolicy(engine, max_new_tokens=40, thinking=5, think_end="</think>")
    end = tokenizer.encode("</think>", add_special_tokens=False)
    for reply in policy.act(TURNS):
        told = made(reply)
        if told.finish_reason == "stop" and told.thinking_tokens == len(told.completion_ids):
            assert reply.text == ""  # it ended while it thought
            continue
        assert list(told.completion_ids[5 : 5 + len(end)]) == end
        assert told.thinking_tokens == 5 + len(end)
        assert told.overlong
        assert told.text.endswith(f"</think>{reply.text}")


@pytest.mark.parametrize(
    "fields",
    [{"top_k": -1}, {"stop": ("",)}, {"thinking": 384}, {"thinking": -1}, {"think_end": ""}, {"system": None}],
)
def test_new_settings_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Settings(**fields)


def test_texts_in_a_spec_may_hold_what_specs_use(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_policy, "engine", lambda name, **place: engine)
    options = {"stop": r"\n\n|a\u007cb", "system": r'Say "no"\u002c twice.', "top_k": "40", "thinking": "9"}
    settings = from_spec("tiny", **options).settings
    assert settings.stop == ("\n\n", "a|b")
    assert settings.system == 'Say "no", twice.'
    assert (settings.top_k, settings.thinking) == (40, 9)
    with pytest.raises(ConfigError, match="JSON's escapes"):
        from_spec("tiny", stop="\\q")


class _Hub:
    """Stands for a class of transformers, with a cache that holds some names."""

    def __init__(self, *cached: str) -> None:
        self.cached = cached
        self.asked: list[bool] = []

    def from_pretrained(self, name: str, *, local_files_only: bool = False, **options: Any) -> str:
        self.asked.append(local_files_only)
        if local_files_only and name not in self.cached:
            raise OSError("not there")
        return name


def test_a_name_of_the_hub_comes_from_the_cache_and_without_a_hub_one_message_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub = _Hub("org/here")
    assert _loaded("hf:org/here", hub, "org/here") == "org/here"
    with pytest.raises(PolicyError, match=r"hf:org/away is no folder and in no cache .*http://127.0.0.1:9"):
        _loaded("hf:org/away", hub, "org/away")
    assert hub.asked == [True, True]  # nothing was asked of a hub that is not there
