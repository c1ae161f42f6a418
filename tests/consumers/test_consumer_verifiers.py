"""`mars2-tree` in verifiers, with a model server of this test's own (scripts/consumers.sh verifiers)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pages import docs_program

import mars2_env
from mars2_env import SandboxError
from mars2_env.sandbox import Sandbox
from mars2_env.testing import ScriptedSandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # those of the library, which others answer for
]
PROBLEMS = list(mars2_env.load_problems("starter", limit=2))


class Model(BaseHTTPRequestHandler):
    """`one-model` knows the reference programs, every other model is wrong."""

    asked: list[dict[str, Any]]

    def log_message(self, *given: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        said = body["messages"][-1]["content"]
        right = next(problem.reference for problem in PROBLEMS if problem.statement[:60] in said)
        program = right if body["model"] == "one-model" else "print('no')"
        message = {"role": "assistant", "content": f"```python\n{program}\n```"}
        answer = {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        sent = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A model server; what it was asked."""
    handler = type("Fresh", (Model,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("MODEL_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("MODEL_KEY", "none")
    yield handler.asked  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def test_each_agent_has_its_traces_and_what_it_earned(
    docker_sandbox: Sandbox, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    program: Any = docs_program("verifiers", tmp_path)
    assert len(program["episodes"]) == 4
    roles = set()
    for episode in program["episodes"]:
        assert episode.ok, episode.errors
        assert [trace.info["node"] for trace in episode.traces] == [1, 2, 3, 4]
        roles |= {trace.agent.name for trace in episode.traces}
        paid = {name: sum(t.reward for t in episode.traces if t.agent.name == name) for name in ("coder", "fixer")}
        wrote = {trace.agent.name for trace in episode.traces}
        assert paid == {"coder": 1.0 if "coder" in wrote else 0.0, "fixer": 0.0}
        for trace in episode.traces:
            assert trace.metrics["best_score"] == paid["coder"]
            assert trace.metrics["score"] == (1.0 if trace.agent.name == "coder" else 0.0)
            assert trace.messages[-1].content.startswith("```python")
    assert roles == {"coder", "fixer"}
    assert {body["model"] for body in asked} == {"one-model", "another"}


def test_a_task_knows_no_test(asked: list[dict[str, Any]]) -> None:
    import verifiers.v1 as vf

    config = vf.taskset_config_type("mars2-tree").model_validate({"id": "mars2-tree", "limit": 2})
    for task, problem in zip(vf.load_taskset(config), PROBLEMS, strict=True):
        data = task.data.model_dump_json()
        assert problem.id in data
        for case in (*problem.scoring, *problem.hidden):
            assert json.dumps(str(case.input)) not in data


def test_a_program_that_cannot_be_judged_fails_the_episode_and_is_no_zero(asked: list[dict[str, Any]]) -> None:
    import os

    import verifiers.v1 as vf

    def fail(program: str, given: Any) -> Any:
        raise SandboxError("the engine is gone")

    options = {"taskset": {"id": "mars2-tree", "limit": 1}, "budget": 2}
    env: Any = vf.load_environment(vf.env_config_type("mars2-tree").model_validate(options))
    env._task = mars2_env.task(env._task, sandbox=ScriptedSandbox(fail))
    context = vf.ModelContext(
        model="one-model", client=vf.EvalClientConfig(base_url=os.environ["MODEL_URL"], api_key_var="MODEL_KEY")
    )

    async def play() -> Any:
        async with env.serving():
            (task,) = env.taskset
            (slot,) = env.slots(task, 1)
            return await env.run_slot(slot, context)

    episode = asyncio.run(play())
    assert not episode.ok
    assert "the engine is gone" in str(episode.errors)
    assert all(not trace.rewards for trace in episode.traces)
