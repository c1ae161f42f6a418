"""Pages of the games and of the named environments: docstrings, spaces and options as the code has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any, Final

import mars2_env
from mars2_env.envs import TreeSearchAEC, TreeSearchParallel, TreeSearchRoute
from mars2_env.envs.spaces import layout_of
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.tasks import GAMES, TASKS, Task

CLASSES: Final[dict[str, Any]] = {
    "aec": TreeSearchAEC,
    "parallel": TreeSearchParallel,
    "gymnasium": TreeSearchRoute,
}
APIS: Final = {"aec": "PettingZoo, AEC", "parallel": "PettingZoo, Parallel", "gymnasium": "Gymnasium"}


def ids() -> list[str]:
    """Return the ids of the named environments: the library's own, then those that installed packages offer."""
    offered = sorted(point.name for point in entry_points(group="mars2_env.tasks"))
    return [*TASKS, *(name for name in offered if name not in TASKS)]


def file_name(id: str) -> str:
    """Return the name of an id's page: `Starter-v0` of `mars2/Starter-v0`."""
    return id.replace("mars2/", "").replace("/", "-").replace(":", "-")


def game_pages() -> dict[str, str]:
    """Return page -> text, of each game and each named environment."""
    tasks = {id: mars2_env.task(id) for id in ids()}
    pages = {f"games/{game}.md": _game_page(game, tasks) for game in GAMES}
    return pages | {f"games/{file_name(id)}.md": _environment_page(id, task) for id, task in tasks.items()}


def _game_page(game: str, tasks: dict[str, Task]) -> str:
    rules = GAMES[game]
    who = "a selector picks agent and parent" if rules.selector else "agents choose the parent"
    if game == "route":
        who = "one controller chooses agent and parent"
    facts = {
        "who chooses": who,
        "who writes": "frozen generator policies" if rules.generators else "the agents",
        "observations": "numbers" if rules.generators else "texts",
        "a budget is": "whole rounds, one node for each agent" if rules.rounds else "any number of nodes",
        "interfaces": ", ".join(f"{APIS[api]} (`api={api!r}`)" for api in rules.apis),
        "environments": ", ".join(
            f"[`{id}`]({file_name(id)}.md)" for id, task in tasks.items() if task.rules.game == game
        ),
    }
    parts = [f"# The game `{game}`\n", _table(facts), f"```python\nenv = mars2_env.make(game={game!r})\n```\n"]
    for api in rules.apis:
        described = CLASSES[api]
        parts.append(f"## {APIS[api]}: [`{described.__name__}`][{described.__module__}.{described.__name__}]\n")
        parts.append(f"{inspect.getdoc(described)}\n")
    return "\n".join(parts)


def _environment_page(id: str, task: Task) -> str:
    rules = task.rules
    selector = task.config()["selector"]
    facts = {
        "game": f"[`{rules.game}`]({rules.game}.md)",
        "problems": f"`{task.problems.name}`, split `{task.problems.split}`: {len(task.problems)}, for "
        f"{task.problems.use}",
        "agents": ", ".join(f"`{agent}`" for agent in task.agents),
        "budget": ", ".join(f"{value} {name}" for name, value in task.budget.config().items()),
        "selector": f"`{selector['name']}`" if selector else "none",
        "score": f"`{rules.score}`, on the {rules.score_on} tests",
        "reward": f"`{task.reward}`, shared `{task.share}`",
        "observe": f"`{rules.observe}`",
        "ends when solved": "yes" if rules.stop_on_solved else "no",
    }
    parts = [
        f"# {id}\n",
        f'```python\nenv = mars2_env.make("{id}")\n```\n',
        "What each of these means is said on the page of its game and in [environments](../environments.md); any other "
        "value is an argument of `make`.\n",
        _table(facts),
        *_spaces(id),
    ]
    if GAMES[rules.game].generators:
        layout = layout_of(task, observer=rules.game != "route")
        parts.append(f"## The vector, {layout.size} numbers\n\n```text\n{layout.describe()}\n```\n")
    return "\n".join(parts)


def _spaces(id: str) -> Iterator[str]:
    """Yield the spaces of each interface, as the environments themselves have them; nothing is played."""
    task = mars2_env.task(id)
    for api in GAMES[task.rules.game].apis:
        env: Any = mars2_env.make(id, api=api, sandbox=ScriptedSandbox())
        first = env.possible_agents[0]
        found = (
            (env.observation_space, env.action_space)
            if api == "gymnasium"
            else (env.observation_space(first), env.action_space(first))
        )
        env.close()
        yield (
            f"## {APIS[api]}\n\n| space | {'' if api == 'gymnasium' else 'of each agent'} |\n|---|---|\n"
            f"| observation | `{found[0]}` |\n| action | `{found[1]}` |\n"
        )


def _table(facts: dict[str, str]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts.items() if value)
