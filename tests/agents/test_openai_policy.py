"""A policy behind a server that speaks OpenAI's protocol, against a real server on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Said, Script, chat, error
from toys import problem_set, sandbox

import mars2_env
from mars2_env import ConfigError, PolicyError, Turn
from mars2_env.log import read_trace
from mars2_env.prompt import estimated_tokens
from mars2_env.tasks.policies import identity_of, make_policy
from mars2_env.testing import PolicyContract
from mars2_env.types import Closes, Generates, Gives, Limited, PublicView, Stdin

pytest.importorskip("openai", reason="needs the extra openai")

from mars2_agents import Replicas
from mars2_agents.policies import chat_wire as wire
from mars2_agents.policies.chat_address import checked_url, key_of, model_and_url
from mars2_agents.policies.openai import OpenAIPolicy, ServerError, from_spec, pause_before

KEY = "sk-very/secret-0123456789"
PROGRAM = "```python\nprint(1)\n```"
Made = tuple[OpenAIPolicy, ChatServer, list[float]]
Make = Callable[..., Made]


def turn(seed: int = 7, *, id: int = 0, parent: int | None = 0, content: str = "Print 1.") -> Turn:
    problem = PublicView("toy/1", content, Stdin(), (), "", mars2_env.Limits())
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": content})
    return Turn(id, "coder_0", problem, seed, messages, parent, (0,) if parent is not None else (0, 1, 2))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a policy on a server of its own; pauses between retries are noted and not waited for."""
    made: list[Made] = []

    def build(script: Script | list[Said], **options: Any) -> Made:
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)

        server = ChatServer(script)
        made.append((OpenAIPolicy("toy", server.url, pause=pause, **options), server, pauses))
        return made[-1]

    yield build
    for policy, server, _ in made:
        policy.close()
        server.close()


def test_a_reply_has_the_text_the_counts_and_the_settings(make: Make) -> None:
    policy, server, _ = make([chat("né🙂 \x00" + PROGRAM)], temperature=0.5, top_p=0.9, max_tokens=99, stop=("END",))
    (reply,) = policy.act([turn(2**62 + 1)])
    assert reply.text == "né🙂 \x00" + PROGRAM
    assert reply.tokens == (10, 5) and reply.cost is None and reply.parent is None
    assert reply.generation is not None and reply.generation.temperature == 0.5 and not reply.generation.overlong
    sent = server.requests[0]
    assert (sent["seed"], sent["model"], sent["max_tokens"], sent["stop"]) == (2**62 + 1, "toy", 99, ["END"])
    assert sent["messages"] == list(turn().messages)
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    for ability in (Generates, Limited, Gives, Closes, mars2_env.Policy):
        assert isinstance(policy, ability)


def test_what_is_left_to_the_server_is_not_sent(make: Make) -> None:
    policy, server, _ = make([chat(PROGRAM)])
    policy.act([turn()])
    assert set(server.requests[0]) == {"model", "messages", "seed"}


def test_a_system_text_stands_behind_that_of_the_prompt(make: Make) -> None:
    policy, server, _ = make([chat("x")], system="You debug.")
    policy.act([turn()])
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "Be brief.\n\nYou debug."}


@pytest.mark.parametrize(
    "trouble",
    [
        error(429, "slow down"),
        error(500, "oops"),
        error(503, "overloaded"),
        Said(b"<html>bad gateway</html>", 502, {"Content-Type": "text/html"}),
        Said(chat(PROGRAM).body, drop=True),
        Said(b'{"choices": [{"mess'),
        Said(b"hello", headers={"Content-Type": "text/plain"}),
        Said({"choices": [], "usage": {"prompt_tokens": 1}}),
        Said({"choices": None}),
        Said([1, 2]),
        Said({"error": {"message": "the provider is overloaded", "code": 502}}),
    ],
    ids=lambda said: str(said.body)[:24],
)
def test_what_passes_is_asked_again(trouble: Said, make: Make) -> None:
    policy, server, pauses = make([trouble, trouble, chat(PROGRAM)])
    (reply,) = policy.act([turn()])
    assert reply.text == PROGRAM
    assert pauses == [pause_before(0, 7, None), pause_before(1, 7, None)]
    assert server.requests[0] == server.requests[2]


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(make: Make) -> None:
    policy, server, pauses = make([Said({}, hang=True), chat(PROGRAM)], timeout=0.2)
    assert policy.act([turn()])[0].text == PROGRAM
    assert len(pauses) == 1
    assert server.gone.wait(10)


def test_a_server_that_never_answers_is_an_error_that_is_worth_a_retry(make: Make) -> None:
    policy, _, pauses = make(lambda body: error(503, "down"), retries=2)
    with pytest.raises(ServerError, match=r"openai:toy at http://127.*asked 3 times: 503: down\.") as found:
        policy.act([turn()])
    assert isinstance(found.value, mars2_env.PolicyUnavailableError)
    assert len(pauses) == 2


def test_a_server_that_is_not_there_is_said(make: Make) -> None:
    policy, server, _ = make([], retries=0)
    server.close()
    with pytest.raises(ServerError, match="asked once: the connection failed"):
        policy.act([turn()])


def test_pauses_grow_are_spread_by_the_seed_and_keep_to_what_the_server_asks_for(make: Make) -> None:
    for retry, most in enumerate([0.5, 1, 2, 4, 8, 16, 30, 30]):
        assert most / 2 <= pause_before(retry, 7, None) <= most
    assert pause_before(3, 7, None) == pause_before(3, 7, None) != pause_before(3, 8, None)
    policy, _, pauses = make([error(429, "x", headers={"Retry-After": "17"}), chat("x")])
    policy.act([turn()])
    assert 17 < pauses[0] <= 17.5
    policy, _, pauses = make([error(429, "x", headers={"Retry-After": "9999"})])
    with pytest.raises(ServerError, match="left alone for 9999 s"):
        policy.act([turn()])
    assert not pauses


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sun, 29 Nov 2026 00:01:00 GMT"}, 60.0),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_both_forms_of_retry_after_are_understood(headers: dict[str, str], seconds: float | None) -> None:
    assert wire.told_wait(headers, datetime(2026, 11, 29, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (error(401, "Incorrect API key provided: sk-ver***6789"), r"refused the key \(401\).*OPENAI_API_KEY"),
        (error(404, "The model `toy` does not exist"), "does not know the model"),
        (error(400, "temperature must be at most 2", param="temperature"), "400: temperature must be at most 2"),
        (error(429, "You exceeded your quota", code="insufficient_quota"), "exceeded your quota"),
        (error(403, "no access"), "403: no access"),
        (Said(b"teapot", 418), "418: teapot"),
    ],
)
def test_what_does_not_pass_is_said_at_once(said: Said, says: str, make: Make) -> None:
    policy, server, pauses = make([said])
    with pytest.raises(PolicyError, match=says):
        policy.act([turn()])
    assert len(server.requests) == 1 and not pauses


def test_a_server_that_wants_a_key_where_there_is_none_is_said(make: Make) -> None:
    policy, _, _ = make([error(401, "no key")], key_env="none")
    with pytest.raises(PolicyError, match=r"wants a key \(401\)\. Name the environment variable"):
        policy.act([turn()])


def spoken(value: BaseException) -> str:
    """All that an exception says, in its chain too."""
    return "".join(f"{one!r}{one}" for one in (value, value.__cause__, value.__context__) if one is not None)


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("form", ["plain", "json", "escaped", "connection"])
def test_a_key_that_the_server_echoes_is_in_no_text(
    status: int, form: str, make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = f"Bearer {KEY} is no good, {KEY}"
    body: Any = {"error": {"message": said, "code": KEY, "param": KEY}} if form == "json" else said.encode()
    if form == "escaped":
        body = ('{"error": {"message": "' + "".join(f"\\u{ord(char):04x}" for char in said) + '"}}').encode()
    if form == "connection":
        body = chat(said, reasoning_content=said, finish=KEY).body
    policy, server, _ = make(lambda asked: Said(body, status), retries=1)
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), agents=1, budget=1, max_faults=1)
    texts = [repr(policy), policy.identity, identity_of(policy)]
    with caplog.at_level(logging.DEBUG):
        try:
            list(mars2_env.rollout(task, policy, out=tmp_path))
        except PolicyError as found:
            texts.append(spoken(found))
        try:
            policy.act([turn()])
        except (PolicyError, ServerError) as found:
            texts.append(spoken(found))
    texts += [f"{record.getMessage()} {record.exc_text} {record.args}" for record in caplog.records]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    for text in texts:
        assert KEY not in text and json.dumps(KEY)[1:-1] not in text and KEY.replace("/", "\\/") not in text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:8000", "scheme"),
        ("ftp://x/v1", "scheme"),
        (f"http://me:{KEY}@host/v1", "may be a secret"),
        (f"http://host/v1?key={KEY}", "may be a secret"),
    ],
)
def test_urls_that_may_hold_secrets_are_refused_without_a_word_of_them(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as found:
        checked_url(url)
    assert KEY not in str(found.value)


@pytest.mark.parametrize(
    "rest",
    [
        "toy@htp://localhost:8000/v1",
        "toy@ftp://host/v1",
        "toy@ws://host",
        "toy@http:/host/v1",
        "toy@//host/v1",
        "toy@",
        "@",
        "toy@localhost",
        "toy@[::1]:8000/v1",
        "toy@127.0.0.1/api",
        "toy@api.host.com/",
        "ftp://host/v1",
        "toy@http://",
        "toy@http://host:99999/v1",
        "toy@http://host:x/v1",
        "toy@http://:8000/v1",
        "toy@http://[::1/v1",
    ],
)
def test_what_is_meant_to_name_a_server_and_does_not_is_no_model_at_the_default_server(rest: str) -> None:
    with pytest.raises(ConfigError, match="URL"):
        from_spec(rest)


def test_a_scheme_may_be_in_capitals_and_models_may_have_an_at_sign() -> None:
    assert from_spec("toy@HTTP://127.0.0.1:1/V1", key_env="none").base_url == "http://127.0.0.1:1/V1"
    for model in ("@cf/meta/x", "claude-x@20240620", "gemini@001"):
        assert model_and_url(model) == (model, None)


def test_an_empty_url_is_not_the_default_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        OpenAIPolicy("toy", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert OpenAIPolicy("toy").base_url == "https://api.openai.com/v1"


def test_another_replica_answers_for_a_server_that_is_away(make: Make) -> None:
    away, _, _ = make(lambda body: error(503, "down"), retries=0)
    there, _, _ = make(lambda body: chat(PROGRAM))
    task = mars2_env.task(problem_set(4), agents=["a"], budget=2, sandbox=sandbox())
    trees = list(mars2_env.rollout(task, Replicas([away, there])))
    assert [(tree.ended, len(tree.nodes)) for tree in trees] == [("budget", 2)] * 4


def test_keys_come_from_the_named_variable_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", " other-key\n")
    assert key_of("OTHER_KEY", "http://x/v1", chosen=True) == "other-key"
    assert key_of("none", "https://api.openai.com/v1", chosen=True) == ""
    monkeypatch.delenv("OPENAI_API_KEY")
    assert key_of("OPENAI_API_KEY", "http://x/v1", chosen=False) == ""
    with pytest.raises(PolicyError, match="environment variable OPENAI_API_KEY"):
        OpenAIPolicy("gpt-x")
    with pytest.raises(PolicyError, match="environment variable MISSING"):
        OpenAIPolicy("gpt-x", "http://x/v1", key_env="MISSING")
    with pytest.raises(ConfigError, match="never given here") as found:
        OpenAIPolicy("gpt-x", key_env=KEY)
    assert KEY not in str(found.value)
    monkeypatch.setenv("OTHER_KEY", "clé secrète")
    with pytest.raises(PolicyError, match="is no key") as bad:
        OpenAIPolicy("gpt-x", key_env="OTHER_KEY")
    assert "secr" not in str(bad.value)


def test_words_that_local_servers_are_given_as_keys_stay_in_programs(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    policy, _, _ = make([chat("EMPTY = 1")])
    assert policy.act([turn()])[0].text == "EMPTY = 1"


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 1000 tokens. However, you requested 4100 tokens (4000 in the messages, "
        "100 in the completion). Please reduce the length of the messages or completion.",
        "request (4000 tokens) exceeds the available context size (1000 tokens), try increasing it",
        "prompt is too long",
    ],
)
def test_a_prompt_that_does_not_fit_loses_the_middle_of_its_longest_message(said: str, make: Make) -> None:
    def script(body: dict[str, Any]) -> Said:
        tokens = sum(estimated_tokens(message["content"]) for message in body["messages"])
        return error(400, said, code="context_length_exceeded") if tokens > 900 else chat(PROGRAM)

    policy, server, pauses = make(script, max_tokens=100)
    content = "begin " + "word " * 2000 + "end"
    (reply,) = policy.act([turn(content=content)])
    system, user = (message["content"] for message in server.requests[-1]["messages"])
    assert system == "Be brief." and user.startswith("begin word") and user.endswith("word end") and "[...]" in user
    assert reply.generation is not None
    assert reply.generation.prompt_cut == estimated_tokens(content) - estimated_tokens(user)
    assert not pauses
    assert sum(estimated_tokens(text) for text in (system, user)) > 300  # no more than is needed


def test_a_prompt_that_fits_is_left_whole_where_the_completion_asks_for_too_much(make: Make) -> None:
    said = "maximum context length is 1000 tokens. However, you requested 1100 tokens (100 in the messages, 1000 in the"
    policy, server, _ = make([error(400, said), chat("x")], max_tokens=1000)
    (reply,) = policy.act([turn()])
    assert server.requests[1]["messages"] == server.requests[0]["messages"]
    assert server.requests[1]["max_tokens"] == 500
    assert reply.generation is not None and reply.generation.prompt_cut == 0


def test_a_prompt_that_never_fits_ends_in_an_error(make: Make) -> None:
    policy, server, _ = make(lambda body: error(400, "the prompt is too long"))
    with pytest.raises(PolicyError, match="too long"):
        policy.act([turn(content="word " * 500)])
    assert len(server.requests) == 7


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", "merged"),
        ("System role not supported", "merged"),
        ("Conversation roles must alternate user/assistant/user/assistant/...", "merged"),
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.", "renamed"),
        ("Unrecognized request argument supplied: seed", "seedless"),
    ],
)
def test_what_a_server_does_not_understand_is_said_otherwise_from_then_on(
    said: str, expected: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    policy, server, _ = make([error(400, said), chat("one"), chat("two")], max_tokens=9)
    assert [policy.act([turn(id=id)])[0].text for id in (0, 1)] == ["one", "two"]
    assert len(server.requests) == 3
    for sent in server.requests[1:]:
        assert ([message["role"] for message in sent["messages"]] == ["user"]) == (expected == "merged")
        assert ("max_completion_tokens" in sent) == (expected == "renamed") != ("max_tokens" in sent)
        assert ("seed" in sent) == (expected != "seedless")
    assert ("takes no seed" in caplog.text) == (expected == "seedless")


def test_thinking_is_kept_and_is_no_part_of_the_reply(make: Make) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 40}}
    thought = "try\n```python\nprint('wrong')\n```\nPARENT: 2"
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": thought}]}, {"type": "text", "text": PROGRAM}]
    policy, _, _ = make(
        [
            chat(PROGRAM, usage=usage, reasoning_content=thought),
            chat(PROGRAM, usage=usage, reasoning=thought),
            chat(parts, usage=usage),  # type: ignore[arg-type]
            chat(None, usage=usage, reasoning_content=thought, finish="length"),
        ],
    )
    *replies, cut = [policy.act([turn(id=id, parent=None)])[0] for id in range(4)]
    for reply in replies:
        assert reply.text == PROGRAM and reply.parent == 0
        assert reply.generation is not None and reply.generation.thinking_tokens == 40
        assert reply.generation.text == f"<think>\n{thought}\n</think>\n\n{PROGRAM}"
    assert cut.text == "" and cut.generation is not None and cut.generation.overlong


@pytest.mark.parametrize(
    ("said", "text", "reason"),
    [
        (chat(None), "", "stop"),
        (chat(None, refusal="I will not."), "I will not.", "stop"),
        (chat("", finish="content_filter"), "", "content_filter"),
        (chat("print(", finish="length"), "print(", "length"),
        (
            chat('{"name": "run", "arguments": {"code": "print(1)"}}'),
            '{"name": "run", "arguments": {"code": "print(1)"}}',
            "stop",
        ),
        (
            chat(
                None,
                tool_calls=[{"function": {"name": "run", "arguments": '{"code": "print(1)"}'}}],
                finish="tool_calls",
            ),
            '{"code": "print(1)"}',
            "tool_calls",
        ),
        (Said(b'{"choices": [{"message": {"content": "a\\ud800b"}, "finish_reason": null}]}'), "a\ufffdb", "stop"),
        (Said({"choices": [{"message": "no object"}]}), "", "stop"),
    ],
)
def test_answers_of_every_shape_are_read(said: Said, text: str, reason: str, make: Make) -> None:
    policy, _, _ = make([said])
    (reply,) = policy.act([turn()])
    assert reply.text == text
    assert reply.generation is not None and reply.generation.finish_reason == reason


def test_a_server_that_tells_no_usage_leaves_the_counts_open(make: Make) -> None:
    policy, _, _ = make([chat("x", usage=None), chat("x", usage={"prompt_tokens": -1, "completion_tokens": "many"})])
    assert [policy.act([turn(id=id)])[0].tokens for id in (0, 1)] == [None, None]


def test_a_reply_costs_exactly_what_its_tokens_do(make: Make, tmp_path: Path) -> None:
    table = tmp_path / "prices.toml"
    table.write_text('["toy"]\nprompt = 0.1\ncompletion = 0.7\ncached = 0.025\n')
    usage = {"prompt_tokens": 1003, "completion_tokens": 11, "prompt_tokens_details": {"cached_tokens": 1000}}
    lost = Said({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 0}})
    policy, _, _ = make([chat("x", usage=usage), lost, chat("x")], prices=table)
    assert policy.gives == {"token_counts", "cost"}
    assert policy.act([turn()])[0].cost == 0.000033
    assert policy.act([turn(id=1)])[0].cost == 0.0001045  # an answer that could not be read is paid for too


def test_without_a_usage_the_cost_is_not_known_and_a_budget_of_it_is_refused(make: Make) -> None:
    policy, _, _ = make(lambda body: chat("x", usage=None), prices={"toy": {"prompt": 1, "completion": 1}})
    assert policy.act([turn()])[0].cost is None
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), agents=1, budget="nodes=2,cost=1")
    with pytest.raises(PolicyError, match="budget limits cost"):
        list(mars2_env.rollout(task, policy))


def test_a_budget_of_money_ends_a_tree(make: Make) -> None:
    policy, server, _ = make(
        lambda body: chat("x"), prices={"toy": {"prompt": 0.5, "completion": 1}}
    )  # 10 and 5 tokens
    task = mars2_env.task(problem_set(1), sandbox=sandbox(), agents=1, budget="nodes=99,cost=0.000021")
    (tree,) = mars2_env.rollout(task, policy)
    assert len(tree.nodes) == len(server.requests) == 3


def test_a_model_without_a_price_is_said_at_the_start(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    policy, _, _ = make([chat("x")], prices={"other": {"prompt": 1, "completion": 1}})
    assert "no price of 'toy'" in caplog.text
    assert "cost" not in policy.gives
    assert policy.act([turn()])[0].cost is None


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('["toy"]\nprompt = 1\n', "completion="),
        ("[gpt-4.1]\nprompt = 1\ncompletion = 1\n", "stands in quotes"),
        ('["toy"]\nprompt = 1\ncompletion = -1\n', "completion=-1"),
        ('["toy"]\nprompt = 1\ncompletion = 1\ncache = 1\n', "Did you mean 'cached'"),
        ("not toml", "not a TOML file"),
    ],
)
def test_a_table_that_holds_no_prices_is_refused(table: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(table)
    with pytest.raises(ConfigError, match=says):
        OpenAIPolicy("toy", "http://x/v1", prices=path)


def with_tokens(text: str, ids: list[int], logprobs: list[float]) -> Said:
    said = chat(text)
    said.body["prompt_token_ids"] = [1, 2, 3]
    said.body["choices"][0]["token_ids"] = ids
    said.body["choices"][0]["logprobs"] = {"content": [{"token": "x", "logprob": one} for one in logprobs]}
    return said


def test_log_probs_come_with_token_ids_where_they_are_asked_for(make: Make) -> None:
    said = with_tokens("x", [5, 6], [-0.5, -0.25])
    policy, server, _ = make([said], logprobs=True, logprobs_kind="raw")
    (reply,) = policy.act([turn()])
    made = reply.generation
    assert made is not None and (made.prompt_ids, made.completion_ids) == ((1, 2, 3), (5, 6))
    assert (made.logprobs, made.logprobs_kind) == ((-0.5, -0.25), "raw")
    assert server.requests[0]["logprobs"] is True and server.requests[0]["return_token_ids"] is True
    assert policy.gives == {"token_counts", "token_ids", "logprobs"}


@pytest.mark.parametrize("said", [chat("x"), with_tokens("x", [5, 6], [-0.5]), with_tokens("x", [], [-0.5])])
def test_log_probs_that_do_not_come_are_an_error(said: Said, make: Make) -> None:
    policy, _, _ = make([said], logprobs=True)
    with pytest.raises(PolicyError, match="one each is needed"):
        policy.act([turn()])


def test_a_plain_completion_is_asked_for_as_one(make: Make) -> None:
    policy, server, _ = make([Said({"choices": [{"text": "print(1)\n```", "finish_reason": "stop"}]})], system="x")
    plain = turn()
    object.__setattr__(plain, "messages", ({"role": "assistant", "content": "# Problem\n```python\n"},))
    assert policy.act([plain])[0].text == "print(1)\n```"
    assert server.paths == ["/v1/completions"]
    assert server.requests[0]["prompt"] == "# Problem\n```python\n"


def test_the_parent_is_the_one_that_the_reply_names(make: Make) -> None:
    policy, _, _ = make([chat("PARENT: 2\n" + PROGRAM), chat(PROGRAM)])
    assert [policy.act([turn(id=id, parent=None)])[0].parent for id in (0, 1)] == [2, 0]


def test_never_more_requests_are_open_than_allowed_and_the_urgent_go_first(make: Make) -> None:
    hold, order = threading.Event(), []

    def script(body: dict[str, Any]) -> Said:
        order.append(body["seed"])
        assert hold.wait(30)
        return chat(str(body["seed"]))

    policy, server, _ = make(script, concurrency=2)

    async def ask() -> list[str]:
        # the first two are let through as they come; the third and fourth wait, and the fifth is more urgent
        tasks = []
        for seed, priority in ((0, 0), (1, 0), (2, 9), (3, 9), (4, 1)):
            tasks.append(asyncio.ensure_future(policy.generate(turn(seed), priority=priority)))
            await asyncio.sleep(0)
        await asyncio.to_thread(server.asked.wait, 30)
        hold.set()
        return [(await task).text for task in tasks]

    assert asyncio.run(ask()) == ["0", "1", "2", "3", "4"]
    assert server.most <= 2
    assert order.index(4) < order.index(3)
    assert policy.concurrency == 2


def test_all_turns_of_a_call_are_asked_for_at_once_also_on_a_running_loop(make: Make) -> None:
    together = threading.Barrier(4, timeout=30)

    def script(body: dict[str, Any]) -> Said:
        together.wait()  # no answer before all are there
        return chat(str(body["seed"]))

    policy, _, _ = make(script)

    async def on_a_loop() -> list[str]:
        return [reply.text for reply in policy.act([turn(seed) for seed in range(4)])]

    assert asyncio.run(on_a_loop()) == ["0", "1", "2", "3"]


def test_who_stops_waiting_closes_the_connection_and_makes_room(make: Make) -> None:
    policy, server, _ = make([Said({}, hang=True), chat("next")], concurrency=1)

    async def ask() -> str:
        task = asyncio.ensure_future(policy.generate(turn(), priority=0))
        await asyncio.to_thread(server.asked.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.gone.wait, 30)
        return (await policy.generate(turn(id=1), priority=0)).text

    assert asyncio.run(ask()) == "next"


def test_closing_ends_what_is_asked_and_a_later_turn_opens_again(make: Make) -> None:
    policy, server, _ = make([Said({}, hang=True), chat("again")])
    asked: list[BaseException] = []

    def ask() -> None:
        try:
            policy.act([turn()])
        except BaseException as found:
            asked.append(found)

    thread = threading.Thread(target=ask)
    thread.start()
    assert server.asked.wait(30)
    policy.close()
    policy.close()
    thread.join(30)
    assert server.gone.wait(30) and len(asked) == 1
    assert policy.act([turn()])[0].text == "again"


def test_what_was_answered_beside_a_failure_is_not_asked_for_twice(make: Make) -> None:
    broken = [True]

    def script(body: dict[str, Any]) -> Said:
        return error(503, "down") if body["seed"] == 1 and broken[0] else chat(str(body["seed"]))

    policy, server, _ = make(script, retries=0)
    turns = [turn(seed, id=seed) for seed in range(3)]
    with pytest.raises(ServerError):
        policy.act(turns)
    assert policy.act(turns[:1])[0].text == "0"  # as the engine asks, turn by turn, when a call has failed for good
    broken[0] = False
    assert [reply.text for reply in policy.act(turns[1:])] == ["1", "2"]
    assert sorted(sent["seed"] for sent in server.requests) == [0, 1, 1, 2]


def test_specs_name_the_model_the_server_and_options_of_their_types(tmp_path: Path) -> None:
    policy = from_spec(
        "org/toy:7b@http://host:1/v1", temperature=0.5, stop=("a", "b"), concurrency=3, system="You debug."
    )
    assert (policy.model, policy.base_url, policy.concurrency) == ("org/toy:7b", "http://host:1/v1", 3)
    assert policy.sampling.stop == ("a", "b")
    assert policy.identity.startswith("openai:org/toy:7b,temperature=0.5,stop=('a', 'b'),system=")
    assert "host" not in policy.identity  # a server may move in the course of a run
    assert model_and_url("@cf/meta/x@https://y/v1") == ("@cf/meta/x", "https://y/v1")
    assert model_and_url("gpt-x") == ("gpt-x", None)


def test_options_of_a_spec_are_read_by_their_types() -> None:
    mars2_env.register_policy("openai_here")(from_spec)
    policy = make_policy("openai_here:toy@http://host:1/v1,temperature=0.5,stop=a/b,logprobs=on,concurrency=2")
    assert isinstance(policy, OpenAIPolicy)
    assert (policy.sampling.stop, policy.sampling.logprobs, policy.concurrency) == (("a", "b"), True, 2)
    for spec, says in (
        ("temperature=hot", "temperature='hot' is not a number"),
        ("concurrency=few", "concurrency='few' is not a whole number"),
        ("temprature=1", "Did you mean 'temperature'"),
        (f"api_key={KEY}", "api_key"),
        (f"key_env={KEY}", "never given here"),
    ):
        with pytest.raises(ConfigError, match=says) as found:
            make_policy(f"openai_here:toy@http://host:1/v1,{spec}")
        assert KEY not in str(found.value)


@pytest.mark.parametrize(
    ("make_one", "says"),
    [
        (lambda: from_spec(""), "needs a model"),
        (lambda: from_spec("http://x/v1"), "needs a model"),
        (lambda: from_spec("toy@localhost:8000/v1"), "with its scheme"),
        (lambda: from_spec("toy@http://x/v1", temperature=-1), "temperature=-1"),
        (lambda: from_spec("toy@http://x/v1", top_p=2), "top_p=2"),
        (lambda: from_spec("toy@http://x/v1", max_tokens=0), "max_tokens=0"),
        (lambda: from_spec("toy@http://x/v1", concurrency=0), "concurrency=0"),
        (lambda: from_spec("toy@http://x/v1", timeout=0), "timeout=0"),
        (lambda: from_spec("toy@http://x/v1", retries=-1), "retries=-1"),
        (lambda: OpenAIPolicy("toy", "http://x/v1", temprature=1), "Did you mean 'temperature'"),
        (lambda: OpenAIPolicy("toy", "http://x/v1", stop="END"), "tuple of texts"),
        (lambda: OpenAIPolicy("toy", "http://x/v1", logprobs_kind="exact"), "logprobs_kind"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(make_one: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_one()


def test_two_agents_on_two_servers_write_the_same_logs_twice(make: Make, tmp_path: Path) -> None:
    def script(of: int) -> Script:
        failed: set[int] = set()

        def say(body: dict[str, Any]) -> Said:
            if body["seed"] % 3 == 0 and body["seed"] not in failed:
                failed.add(body["seed"])
                return error(500, "oops")
            return chat(f"```python\nprint({(body['seed'] + of) % 4})\n```")

        return say

    def logs(out: Path) -> dict[str, bytes]:
        team = {"coder_0": make(script(0))[0], "fixer_0": make(script(1), system="You debug.")[0]}
        task = mars2_env.task(problem_set(3), sandbox=sandbox(), agents=["coder", "fixer"], budget="nodes=6,tokens=99")
        trees = list(mars2_env.rollout(task, team, out=out, seed=3, in_flight=2))
        assert {node.agent for tree in trees for node in tree.nodes} == {"coder_0", "fixer_0"}
        traces = read_trace(next(iter((out / "trees").glob("*.jsonl"))))
        assert {trace.completion_tokens for trace in traces.values()} == {5}
        return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}

    assert logs(tmp_path / "one") == logs(tmp_path / "two")


class TestContract(PolicyContract):
    """What every policy promises."""

    server: ChatServer

    @classmethod
    def setup_class(cls) -> None:
        cls.server = ChatServer(lambda body: chat(f"```python\nprint({body['seed'] % 5})\n```"))

    @classmethod
    def teardown_class(cls) -> None:
        cls.server.close()

    def make_policy(self) -> OpenAIPolicy:
        return OpenAIPolicy("toy", self.server.url)
