"""The language-model policy: batches, generations, parents, specs and their errors."""

from __future__ import annotations

import builtins
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mars2_agents.policies import transformers as transformers_policy
from mars2_agents.policies.transformers import Engine, Settings, TransformersPolicy, from_spec, named_parent

from mars2_env.errors import ConfigError, PolicyError
from mars2_env.tasks import identity_of
from mars2_env.types import Call, Policy, Problem, TestCase, Turn

ADD = Problem("add", "Add.", Call("add"), public=(TestCase([1, 2], 3),))
TURN = Turn(
    id=0,
    agent="coder_0",
    problem=ADD.public_view(),
    seed=7,
    messages=(
        {"role": "system", "content": "You are an expert Python programmer."},
        {"role": "user", "content": "Write a function that returns the sum of two numbers."},
    ),
    parent=0,
    parents=(0,),
)


@pytest.fixture(scope="module")
def engine(model: Any, tokenizer: Any) -> Engine:
    return Engine(model, tokenizer, name="tiny")


def turns(n: int) -> list[Turn]:
    other = ({"role": "user", "content": "def add(a, b):\n" * 3},)
    return [replace(TURN, seed=seed, messages=TURN.messages if seed % 2 else other) for seed in range(n)]  # type: ignore[arg-type]


def test_it_is_a_policy_and_says_what_it_is(engine: Engine) -> None:
    policy = TransformersPolicy(engine, temperature=0.5)
    assert isinstance(policy, Policy)
    assert repr(policy) == "TransformersPolicy('tiny', temperature=0.5, top_p=0.95, max_new_tokens=384)"
    assert policy.act([]) == []
    settings = "temperature=0.5,top_p=0.95,max_new_tokens=384,batch_size=16,context=None"
    assert identity_of(policy) == f"transformers:tiny,dtype=float32,weights=0,{settings}"


def test_a_reply_carries_its_tokens(engine: Engine, tokenizer: Any) -> None:
    policy = TransformersPolicy(engine, max_new_tokens=12)
    for turn, reply in zip(turns(5), policy.act(turns(5)), strict=True):
        made = reply.generation
        assert made is not None
        assert (
            list(made.prompt_ids)
            == tokenizer.apply_chat_template(list(turn.messages), add_generation_prompt=True)["input_ids"]
        )
        assert 1 <= len(made.completion_ids) == len(made.logprobs) <= 12
        assert all(value <= 1e-6 for value in made.logprobs)
        assert (made.completion_ids[-1] == 2) == (made.finish_reason == "stop")
        assert reply.text == tokenizer.decode(made.completion_ids, skip_special_tokens=True)
        assert reply.parent is None


def test_a_reply_is_a_function_of_the_turn_not_of_the_batch(engine: Engine) -> None:
    asked = turns(7)
    whole = TransformersPolicy(engine, max_new_tokens=12).act(asked)
    assert TransformersPolicy(engine, max_new_tokens=12, batch_size=3).act(asked) == whole
    assert TransformersPolicy(engine, max_new_tokens=12, batch_size=1).act(asked[::-1]) == whole[::-1]


def test_policies_of_one_model_act_together_each_with_its_own_settings(
    engine: Engine, model: Any, tokenizer: Any
) -> None:
    cold = TransformersPolicy(engine, temperature=0, max_new_tokens=9)
    warm = TransformersPolicy(engine, temperature=1.3, max_new_tokens=14)
    assert cold.batch_key == warm.batch_key
    pairs = [(policy, turn) for turn in turns(3) for policy in (cold, warm)]
    assert TransformersPolicy.act_together(pairs) == [policy.act([turn])[0] for policy, turn in pairs]
    stranger = TransformersPolicy(model, tokenizer)
    assert stranger.batch_key != cold.batch_key
    with pytest.raises(PolicyError, match="different models"):
        TransformersPolicy.act_together([(cold, TURN), (stranger, TURN)])


def test_the_weights_version_goes_into_the_generation(model: Any, tokenizer: Any) -> None:
    engine = Engine(model, tokenizer)
    engine.weights_version = 5
    generation = TransformersPolicy(engine, max_new_tokens=1).act([TURN])[0].generation
    assert generation is not None
    assert generation.weights_version == 5


def test_a_prompt_longer_than_the_context_is_cut_not_refused(engine: Engine) -> None:
    long = replace(TURN, messages=({"role": "user", "content": "x = 1\n" * 2000},))
    for policy in (
        TransformersPolicy(engine, max_new_tokens=30),
        TransformersPolicy(engine, max_new_tokens=5000),
        TransformersPolicy(engine, max_new_tokens=30, context=80),
    ):
        generation = policy.act([long])[0].generation
        assert generation is not None
        context = policy.settings.context or 256
        assert context // 2 <= len(generation.prompt_ids) <= context - 1
        assert len(generation.prompt_ids) + len(generation.completion_ids) <= context


def test_where_it_chooses_the_last_parent_line_counts(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(TURN, parent=None, parents=(0, 1))
    policy = TransformersPolicy(engine, max_new_tokens=3)
    assert policy.act([free])[0].parent == 0
    monkeypatch.setattr(transformers_policy, "named_parent", lambda text: 4)
    assert policy.act([free])[0].parent == 4


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        ("PARENT: 3\n```python\nx = 1\n```", 3),
        ("I take 1.\n**Parent: 12**\ncode", 12),
        ("PARENT: 1\nno, better\nPARENT: 2", 2),
        ("the PARENT: 3 of all", 0),
        ("PARENT: " + "9" * 40, 0),
        ("", 0),
    ],
)
def test_a_parent_is_named_by_a_line_of_its_own(text: str, parent: int) -> None:
    assert named_parent(text) == parent


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.1},
        {"max_new_tokens": 0},
        {"batch_size": 0},
        {"context": 1},
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Settings(**fields)


def test_an_unknown_setting_names_the_known_ones(engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"'temperatur'.*Did you mean 'temperature'"):
        TransformersPolicy(engine, temperatur=1)


@pytest.mark.parametrize(
    ("rest", "options", "message"),
    [
        ("", {}, "hf:smollm2"),
        ("smollm2", {"heat": "1"}, "unknown option of hf 'heat'.*temperature"),
        ("smollm2", {"temperature": "warm"}, "temperature='warm': not a number"),
        ("smollm2", {"max_new_tokens": "1.5"}, "not a whole number"),
        ("smollm2", {"top_p": "2"}, "top_p=2.0"),
    ],
)
def test_a_spec_that_makes_no_sense_says_why_before_anything_is_loaded(
    rest: str, options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers_policy, "engine", lambda *args, **kwargs: pytest.fail("loaded a model"))
    with pytest.raises(ConfigError, match=message):
        from_spec(rest, **options)


def test_a_missing_extra_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "transformers":
            raise ImportError("No module named 'transformers'")
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PolicyError, match=r"pip install 'mars2-env\[smollm2\]'"):
        from_spec("smollm2")


@pytest.fixture(scope="module")
def saved(model: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_checkpoint_folder_is_loaded_once_and_shared(saved: Path) -> None:
    cold = from_spec(str(saved), temperature="0", max_new_tokens="5", device="cpu")
    warm = from_spec(str(saved), top_p="0.5", batch_size="2", context="100", device="cpu")
    assert cold.engine is warm.engine
    assert cold.settings == Settings(temperature=0, max_new_tokens=5)
    assert warm.settings == Settings(top_p=0.5, batch_size=2, context=100)
    assert len(cold.act([TURN])[0].text) > 0


def test_a_loaded_checkpoint_gives_what_the_model_gave(saved: Path, engine: Engine) -> None:
    loaded = from_spec(str(saved), max_new_tokens="12", device="cpu")
    assert loaded.act(turns(3)) == TransformersPolicy(engine, max_new_tokens=12).act(turns(3))


def test_a_place_without_a_checkpoint_is_one_clear_error(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such checkpoint folder"):
        from_spec(str(tmp_path / "nowhere"))
    with pytest.raises(PolicyError, match="cannot be loaded"):
        from_spec(str(tmp_path))
    with pytest.raises(ConfigError, match="unknown dtype 'float31'"):
        from_spec(str(saved), dtype="float31")
    with pytest.raises(ConfigError, match="device='cpux' is not usable"):
        from_spec(str(saved), device="cpux")
