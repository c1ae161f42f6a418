"""Adapters without the libraries they are for: what a reply earns, and a tree as a plain object."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from mars2_agents.adapters import JudgeReward, TreeSession, prompt_rows
from toys import FaultySandbox, problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, SandboxError
from mars2_env.testing import ScriptedSandbox


def test_trl_reward_reads_texts_and_conversations() -> None:
    judge = JudgeReward(problem_set(), sandbox())
    replies: list[Any] = [
        "```python\nprint(0)\n```",
        [{"role": "assistant", "content": "```python\nprint(1)\n```"}],
        "```python\nprint(0)\n```",
        "no program here, sorry",
    ]
    ids = ["toy/0", "toy/1", "toy/1", "toy/0"]
    assert judge.trl_reward(prompts=ids, completions=replies, problem=ids, trainer_state=None) == [1.0, 1.0, 0.0, 0.0]


def test_verl_score_takes_the_problem_as_ground_truth() -> None:
    judge = JudgeReward(problem_set(), sandbox())
    assert judge.verl_score("toy", "print(3)", "toy/3", {"split": "train"}) == {"score": 1.0, "acc": 1.0}
    assert judge.verl_score("toy", "print(4)", "toy/3") == {"score": 0.0, "acc": 0.0}


def test_openrlhf_rewards_leave_the_prompt_out() -> None:
    pytest.importorskip("torch")
    judge = JudgeReward(problem_set(), sandbox())
    prompt = "For example:\n```python\nprint(2)\n```\n"
    found = judge.openrlhf_rewards(
        [prompt + "print(2)", prompt + "I do not know"], [prompt, prompt], ["toy/2", "toy/2"]
    )
    assert found["rewards"].tolist() == [1.0, 0.0]


RIGHT = "```python\nprint(2)\n```"
WRONG_PROMPT = "Mend this:\n```python\nprint(2)\n```\nNot so:\n```\nprint(3)\n```\n"


def rewards(queries: list[str], prompts: list[str], **options: Any) -> list[float]:
    pytest.importorskip("torch")
    judge = JudgeReward(problem_set(), sandbox(), **options)
    found: list[float] = judge.openrlhf_rewards(queries, prompts, ["toy/2"] * len(queries))["rewards"].tolist()
    return found


@pytest.mark.parametrize(
    "end",
    [
        "<|im_end|>",
        "</s>",
        " </s>",
        "<|eot_id|>\n",
        "<eos><pad><pad>",
        "<end_of_turn>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    ],
)
@pytest.mark.parametrize("reply", [RIGHT, "print(2)", "So: ```python\nprint(2)```"])
def test_end_tokens_cost_no_reward(reply: str, end: str) -> None:
    assert rewards(["Print 2. " + reply + end], ["Print 2. "]) == [1.0]
    assert JudgeReward(problem_set(), sandbox()).verl_score("toy", reply + end, "toy/2")["score"] == 1.0


def test_special_tokens_of_an_odd_tokenizer_are_known_by_it() -> None:
    tokenizer = SimpleNamespace(
        all_special_tokens=["%%FIN%%"],
        added_tokens_decoder={7: SimpleNamespace(special=True, __str__=None), 8: SimpleNamespace(special=False)},
    )
    query = "%%FIN%% Print 2. print(2)%%FIN%%\n%%FIN%%"
    assert rewards([query], ["Print 2. "], tokenizer=tokenizer) == [1.0]
    assert rewards(["Print 2. print(2)%%FIN%%"], ["Print 2. "]) == [0.0]


@pytest.mark.parametrize(
    "decoded",
    [
        "<s> {}",
        "<pad><pad><s>{}",
        " {}",
        "You are an expert.\n```python\nprint(2)\n```\n{}",
        "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
    ],
)
def test_a_prompt_is_found_through_what_decoding_adds(decoded: str) -> None:
    query = decoded.format(WRONG_PROMPT)
    assert rewards([query + RIGHT, query + "I do not know.", query], [WRONG_PROMPT] * 3) == [1.0, 0.0, 0.0]


def test_a_prompt_is_found_through_what_decoding_takes_away() -> None:
    prompt = f"<|im_start|>user\n{WRONG_PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    query = f"user\n{WRONG_PROMPT}\nassistant\n"
    squeezed = "user " + " ".join(WRONG_PROMPT.split()) + " assistant "
    for shown in (query, squeezed):
        assert rewards([shown + RIGHT, shown + "I do not know."], [prompt] * 2) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("prompt", "query"),
    [
        (WRONG_PROMPT, WRONG_PROMPT[5:] + "I do not know."),  # cut to a length
        (WRONG_PROMPT, WRONG_PROMPT.replace("Mend", "mend") + "I do not know."),
        ("", WRONG_PROMPT + "I do not know."),
        (WRONG_PROMPT, WRONG_PROMPT[:-20]),
        ([{"role": "user", "content": WRONG_PROMPT}], WRONG_PROMPT),
    ],
)
def test_a_reply_that_cannot_be_told_from_its_prompt_is_an_error_and_never_paid(prompt: Any, query: str) -> None:
    with pytest.raises(ConfigError, match="does not hold its prompt"):
        rewards([query], [prompt])


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize(
    ("completion", "reward"),
    [
        ([assistant([{"type": "text", "text": RIGHT}])], 1.0),
        ([assistant([{"type": "text", "text": "So:\n"}, {"type": "text", "text": RIGHT}])], 1.0),
        ([assistant([{"type": "thinking", "thinking": RIGHT}, {"type": "text", "text": "I do not know."}])], 0.0),
        ([assistant([{"type": "image_url", "image_url": {"url": "x"}}, RIGHT])], 1.0),
        ([assistant({"type": "text", "text": RIGHT})], 1.0),
        (assistant(RIGHT), 1.0),
        ([SimpleNamespace(role="assistant", content=RIGHT)], 1.0),
        ([assistant(None)], 0.0),
        ([{"role": "assistant", "tool_calls": []}], 0.0),
        ([assistant(None), {"role": "tool", "content": RIGHT}], 0.0),
        ([assistant(RIGHT), {"role": "tool", "content": "ran"}], 1.0),
        ([assistant("no"), {"role": "user", "content": RIGHT}], 0.0),
        ([assistant("print(3)"), {"role": "user", "content": "wrong"}, assistant(RIGHT)], 1.0),
        ([], 0.0),
        (None, 0.0),
    ],
)
def test_the_reply_of_a_conversation_is_what_the_assistant_said_last(completion: Any, reward: float) -> None:
    judge = JudgeReward(problem_set(), sandbox())
    assert judge.trl_reward(completions=[completion], problem=["toy/2"]) == [reward]


def in_a_fork(judge: JudgeReward) -> list[float]:
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    child = context.Process(
        target=lambda: found.put(judge.trl_reward(completions=[RIGHT, "print(3)"], problem=["toy/2", "toy/2"])),
        daemon=True,
    )
    child.start()
    child.join(60)  # a hang is what it is about
    if child.is_alive():
        child.kill()
        pytest.fail("the reward function hangs in a forked process")
    rewards: list[float] = found.get()
    return rewards


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_reward_function_works_before_and_after_a_fork() -> None:
    judge = JudgeReward(problem_set(), sandbox())
    assert in_a_fork(judge) == [1.0, 0.0]
    assert judge.trl_reward(completions=[RIGHT], problem=["toy/2"]) == [1.0]
    assert in_a_fork(judge) == [1.0, 0.0]
    assert judge.trl_reward(completions=[RIGHT], problem=["toy/2"]) == [1.0]


@pytest.mark.parametrize("travel", [copy.deepcopy, lambda judge: pickle.loads(pickle.dumps(judge))])
def test_a_reward_function_travels(travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mars2_env, "make_sandbox", lambda kind: sandbox())
    judge = JudgeReward("starter", score="fraction", tests="public")
    there = travel(judge)
    id = next(iter(judge.problems)).id
    assert there.score(id, "no program, sorry") == 0.0
    judge.score(id, "print(1)")  # has a sandbox of its own now, which is made again where the copy is
    assert travel(judge.trl_reward)(completions=["print(1)"], problem=[id]) == [0.0]
    assert (travel(judge)._score, travel(judge)._tests) == ("fraction", ("public",))


def test_replies_that_are_judged_side_by_side_share_one_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(kind: str) -> Any:
        made.append(kind)
        return sandbox()

    monkeypatch.setattr(mars2_env, "make_sandbox", make)
    judge = JudgeReward(problem_set(), "auto")
    assert judge.scores(["toy/2"] * 16, [f"print({n})" for n in range(16)]).count(1.0) == 1
    assert made == ["auto"]


def test_fraction_is_the_share_of_public_and_scoring_tests_and_hidden_ones_are_never_run() -> None:
    box = ScriptedSandbox(lambda program, given: mars2_env.Run("ok", output="1" if given == "third" else "no"))
    judge = JudgeReward(problem_set(2), box, score="fraction")
    assert judge.score("toy/1", "print(1)") == pytest.approx(1 / 3)
    assert {given for _, given in box.calls} == {"first", "second", "third"}


def test_a_fault_is_tried_again_and_is_never_a_score() -> None:
    assert JudgeReward(problem_set(), FaultySandbox(2)).score("toy/0", "print(0)") == 1.0
    with pytest.raises(SandboxError, match="the engine is gone"):
        JudgeReward(problem_set(), FaultySandbox(99)).score("toy/0", "print(0)")


def test_what_must_not_be_trained_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="never from hidden ones"):
        JudgeReward(problem_set(), sandbox(), tests=("public", "hidden"))
    with pytest.raises(ConfigError, match="is one for evaluation"):
        JudgeReward(problem_set(use="evaluation"), sandbox())
    with pytest.raises(ConfigError, match="unknown problem of 'toy' 'toy/9'"):
        JudgeReward(problem_set(), sandbox()).score("toy/9", "print(1)")
    with pytest.raises(ConfigError, match="2 problems for 1 replies"):
        JudgeReward(problem_set(), sandbox()).scores(["toy/0", "toy/1"], ["print(1)"])


def test_rows_hold_prompts_and_ids_and_nothing_unquotable() -> None:
    rows = prompt_rows(problem_set(2))
    assert [row["problem"] for row in rows] == ["toy/0", "toy/1"]
    text = rows[1]["prompt"][-1]["content"]
    assert "Print 1." in text
    assert "third" not in text and "fourth" not in text


def session(**options: Any) -> TreeSession:
    return TreeSession(mars2_env.task(problem_set(), sandbox=sandbox(), **{"agents": 1, "budget": 3, **options}))


def test_a_session_earns_the_best_score_and_ends_with_its_budget() -> None:
    tree = session()
    first = tree.reset(problem="toy/2", seed=0, prompt=[{"role": "user", "content": "a row's column"}])
    assert "Print 2." in first
    said = tree.submit("```python\nprint(5)\n```")
    assert said.startswith("Outcome: wrong_answer.") and len(said) > 100
    assert tree.get_reward() == 0.0
    tree.submit("print(2)")
    assert tree.get_reward() == 1.0 and not tree.over
    assert tree.submit("print(7)") == "Outcome: wrong_answer. This problem is over."
    assert tree.over and tree.get_reward() == 1.0
    assert "nothing more" in tree.submit("print(2)")
    tree.reset(problem="toy/2", seed=0)
    assert tree.get_reward() == 0.0


def test_a_session_that_meets_a_fault_asks_again_and_spends_nothing() -> None:
    tree = TreeSession(mars2_env.task(problem_set(), sandbox=FaultySandbox(1), agents=1, budget=1))
    tree.reset(problem="toy/1", seed=0)
    assert tree.submit("print(1)").startswith("It could not be judged; submit it again.")
    assert tree.submit("print(1)") == "Outcome: passed. This problem is over."


def test_the_only_tool_of_a_session_is_submit() -> None:
    methods = {name for name, _ in inspect.getmembers(TreeSession, inspect.isfunction) if not name.startswith("_")}
    assert methods == {"reset", "submit", "get_reward"}


def test_sessions_play_write_alone() -> None:
    with pytest.raises(ConfigError, match="sessions play 'write'"):
        session(game="play")
