"""The OpenEnv server over real sockets, driven by OpenEnv's own client (scripts/consumers.sh openenv)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

import mars2_env
from mars2_env import Problem, ProblemSet, Run, TestCase
from mars2_env.testing import ScriptedSandbox

pytestmark = pytest.mark.consumer


def problems() -> ProblemSet:
    case = TestCase("", "1")
    found = [Problem(f"toy/{n}", f"Print 1 ({n}).", public=(case,), scoring=(case,), hidden=(case,)) for n in (0, 1)]
    return ProblemSet("toy", tuple(found), "train")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server on a port of this machine, whose programs are answered by a script."""
    import uvicorn
    from mars2_agents.adapters.openenv import app
    from mars2_agents.adapters.session import TreeSession

    box = ScriptedSandbox(lambda program, given: Run("ok", output=program.strip()[6:-1]))
    task = mars2_env.task(
        problems(), agents=1, budget=3, selector="sequential_refinement", sandbox=box, stop_on_solved=True
    )
    server = uvicorn.Server(uvicorn.Config(app(lambda: TreeSession(task)), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


def test_a_client_grows_a_tree_of_its_own(address: str) -> None:
    from openenv.core.generic_client import GenericEnvClient

    with GenericEnvClient(base_url=address).sync() as one, GenericEnvClient(base_url=address).sync() as other:
        first = one.reset(seed=0, problem="toy/1")
        assert "Print 1 (1)." in first.observation["text"]
        other.reset(seed=0, problem="toy/0")
        wrong = one.step({"program": "print(2)"})
        assert (wrong.reward, wrong.done) == (0.0, False)
        assert "wrong_answer" in wrong.observation["text"] and "print(2)" in wrong.observation["text"]
        right = one.step({"program": "print(1)"})
        assert (right.reward, right.done) == (1.0, True)
        solved = other.step({"program": "print(1)"})
        assert (solved.reward, solved.done) == (1.0, True)


def test_an_action_without_a_program_is_an_error_of_the_client_and_the_tree_lives_on(address: str) -> None:
    from openenv.core.generic_client import GenericEnvClient

    with GenericEnvClient(base_url=address).sync() as client:
        client.reset(seed=0, problem="toy/0")
        with pytest.raises(Exception, match=r"(?i)program|validation"):
            client.step({"text": "print(1)"})
        assert client.step({"program": "print(1)"}).reward == 1.0
