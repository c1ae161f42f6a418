"""The command `mars2 env`: an environment's spaces, and an episode of random actions in it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.options import AsJson, PythonPackages, SandboxKind, SetPath, chosen_sandbox, say, say_json


def env(
    task: Annotated[
        str, typer.Argument(help="An environment id or a problem set.", metavar="TASK")
    ] = "mars2/Starter-v0",
    path: SetPath = None,
    game: Annotated[str | None, typer.Option(help="write, play, place or route.")] = None,
    generators: Annotated[
        str | None, typer.Option(help="In place and route, the policy that writes the programs; noise:default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the environment and of the random actions.")] = 0,
    sandbox: SandboxKind = "auto",
    python_package: PythonPackages = None,
    as_json: AsJson = False,
) -> None:
    """Show an environment's spaces and play one episode of random actions in it."""
    given = {"game": game, "generators": generators, "path": None if path is None else str(path)}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    made: Any = mars2_env.make(task, render_mode="ansi", sandbox=chosen_sandbox(sandbox, python_package), **options)
    made.reset(seed=seed)
    play = _controller if made.task.api == "gymnasium" else _agents
    agents = play(made, seed)
    tree = made.render()
    made.close()
    if as_json:
        say_json({"task": made.task.id, "api": made.task.api, "agents": agents, "tree": tree})
        return
    for name, one in agents.items():
        say(f"{name}\n  observation: {one['observation_space']}\n  action: {one['action_space']}")
    for name, one in agents.items():
        say(f"{name}: rewards sum to {one['reward']:g}, {one['ended']}")
    say(tree)


def _controller(made: Any, seed: int) -> dict[str, dict[str, Any]]:
    """Play an episode of random actions of the one controller; return its spaces and what became of it."""
    made.action_space.seed(seed)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = made.step(made.action_space.sample(made.action_masks()))
        total, over = total + reward, terminated or truncated
    spaces = {"observation_space": str(made.observation_space), "action_space": str(made.action_space)}
    return {"controller": {**spaces, "reward": total, "ended": "terminated" if terminated else "truncated"}}


def _agents(made: Any, seed: int) -> dict[str, dict[str, Any]]:
    """Play an episode of random actions; return each agent's spaces and what became of it."""
    found: dict[str, dict[str, Any]] = {}
    for agent in made.possible_agents:
        made.action_space(agent).seed(seed)
        spaces = {
            "observation_space": str(made.observation_space(agent)),
            "action_space": str(made.action_space(agent)),
        }
        found[agent] = {**spaces, "reward": 0.0, "ended": ""}
    for agent in made.agent_iter():
        _, reward, terminated, truncated, info = made.last()
        found[agent]["reward"] += reward
        over = terminated or truncated
        if over:
            found[agent]["ended"] = "terminated" if terminated else "truncated"
        made.step(None if over else made.action_space(agent).sample(info.get("action_mask")))
    return found
