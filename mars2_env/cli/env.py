"""The command `mars2 env`: an environment's spaces, and an episode of random actions in it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.options import SandboxKind, SetPath, say


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
) -> None:
    """Show an environment's spaces and play one episode of random actions in it."""
    given = {"game": game, "generators": generators, "path": None if path is None else str(path)}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    made: Any = mars2_env.make(task, render_mode="ansi", sandbox=sandbox, **options)
    made.reset(seed=seed)
    if made.task.api == "gymnasium":
        made.action_space.seed(seed)
        say(f"controller\n  observation: {made.observation_space}\n  action: {made.action_space}")
        total, over = 0.0, False
        while not over:
            _, reward, terminated, truncated, _ = made.step(made.action_space.sample(made.action_masks()))
            total, over = total + reward, terminated or truncated
        say(f"controller: rewards sum to {total:g}, {'terminated' if terminated else 'truncated'}")
        say(made.render())
        made.close()
        return
    for agent in made.possible_agents:
        made.action_space(agent).seed(seed)
        say(f"{agent}\n  observation: {made.observation_space(agent)}\n  action: {made.action_space(agent)}")
    totals = dict.fromkeys(made.possible_agents, 0.0)
    for agent in made.agent_iter():
        _, reward, terminated, truncated, info = made.last()
        totals[agent] += reward
        over = terminated or truncated
        if over:
            say(f"{agent}: rewards sum to {totals[agent]:g}, {'terminated' if terminated else 'truncated'}")
        made.step(None if over else made.action_space(agent).sample(info.get("action_mask")))
    say(made.render())
    made.close()
