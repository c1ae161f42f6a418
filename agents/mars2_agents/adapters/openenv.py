"""A server of trees that speaks OpenEnv's protocol, over `TreeSession`; needs the extra `openenv`.

    uvicorn --factory mars2_agents.adapters.openenv:app

Each client has a session and a tree of its own; all share one sandbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mars2_agents.adapters.session import TreeSession
from mars2_env.base.extras import needed_by

with needed_by("mars2_agents.adapters.openenv"):
    from openenv.core.env_server.http_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State


class Submission(Action):
    """A program."""

    program: str


class Answer(Observation):
    """What became of the program and what is asked next; at `reset`, the first prompt."""

    text: str


class TreeServer(Environment[Submission, Answer, State]):
    """One session as an OpenEnv environment: the reward of a step is what the submission added."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, session: TreeSession) -> None:
        """Serve a session."""
        super().__init__()
        self._session = session
        self._state = State(episode_id=None, step_count=0)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Answer:
        """Begin a tree; the option `problem` is the id of a problem."""
        self._state = State(episode_id=episode_id, step_count=0)
        return Answer(text=self._session.reset(seed=seed, **options), reward=None, done=False)

    def step(self, action: Submission, timeout_s: float | None = None, **options: Any) -> Answer:
        """Submit a program."""
        before = self._session.get_reward()
        text = self._session.submit(action.program)
        self._state.step_count += 1
        return Answer(text=text, reward=self._session.get_reward() - before, done=self._session.over)

    @property
    def state(self) -> State:
        """How many programs were submitted."""
        return self._state


def app(session: Callable[[], TreeSession] = TreeSession, *, clients: int = 64) -> Any:
    """Return the server, an ASGI application.

    Args:
        session: Makes the session of each client.
        clients: How many clients may be connected at a time.
    """
    return create_fastapi_app(lambda: TreeServer(session()), Submission, Answer, max_concurrent_envs=clients)
