"""Pages of the games and of the named environments: docstrings, spaces and options as the code has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mars2_bench.suite.named import NAMED

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


@dataclass(frozen=True, slots=True)
class Environment:
    """A named environment.

    Attributes:
        id: its name.
        task: what is played.
        skill: what it asks for, in a line; "" where it asks for nothing in particular.
        splits: its splits, where it has several.
    """

    id: str
    task: Task
    skill: str = ""
    splits: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """The name of its page: `Starter-v0` of `mars2/Starter-v0`."""
        return self.id.removeprefix("mars2/").replace("/", "-")


def environments() -> list[Environment]:
    """Return the named environments: the library's own, then those of the benchmark suite."""
    own = [Environment(id, mars2_env.task(id)) for id in TASKS]
    return own + [Environment(named.id, named.task(), named.skill, named.splits) for named in NAMED.values()]


def game_pages() -> dict[str, str]:
    """Return page -> text, of each game and each named environment."""
    found = environments()
    pages = {f"games/{game}.md": _game_page(game, found) for game in GAMES}
    return pages | {f"games/{environment.page}.md": _environment_page(environment) for environment in found}


def _game_page(game: str, found: Sequence[Environment]) -> str:
    rules = GAMES[game]
    who = "a selector picks agent and parent" if rules.selector else "agents choose the parent"
    if game == "route":
        who = "one controller chooses agent and parent"
    facts = {
        "who chooses": who,
        "who writes": "frozen generator policies" if rules.generators else "the agents",
        "observations": "numbers" if rules.generators else "texts",
        "a budget is": f"whole rounds, one node for each agent{', but for `rounds`' if game == 'place' else ''}"
        if rules.rounds
        else "any number of nodes",
        "interfaces": ", ".join(f"{APIS[api]} (`api={api!r}`)" for api in rules.apis),
        "environments": ", ".join(f"[`{one.id}`]({one.page}.md)" for one in found if one.task.rules.game == game),
    }
    parts = [f"# The game `{game}`\n", _table(facts), f"```python\nenv = mars2_env.make(game={game!r})\n```\n"]
    for api in rules.apis:
        described = CLASSES[api]
        parts.append(f"## {APIS[api]}: [`{described.__name__}`][{described.__module__}.{described.__name__}]\n")
        parts.append(f"{inspect.getdoc(described)}\n")
    return "\n".join(parts)


def _environment_page(found: Environment) -> str:
    task = found.task
    rules, problems, selector = task.rules, task.problems, task.config()["selector"]
    facts = {
        "asks for": found.skill,
        "game": f"[`{rules.game}`]({rules.game}.md)",
        "problems": f"`{problems.name}`, split `{problems.split}`: {len(problems)}, for {problems.use}",
        "other splits": ", ".join(f"`{split}`" for split in found.splits if split != problems.split),
        "agents": ", ".join(f"`{agent}`" for agent in task.agents),
        "budget": ", ".join(f"{value} {name}" for name, value in task.budget.config().items()),
        "rounds": "" if rules.rounds is None else str(rules.rounds),
        "selector": f"`{selector['name']}`" if selector else "",
        "generators": f"`{type(task.generators).__name__}`" if found.skill else "",
        "score": f"`{rules.score}`, on the {rules.score_on} tests",
        "reward": f"`{task.reward}`, shared `{task.share}`",
        "observe": f"`{rules.observe}`",
        "cards": "yes" if task.cards else "",
        "clues": "" if task.clues is None else str(task.clues.size),
        "ends when solved": "yes" if rules.stop_on_solved else "no",
    }
    parts = [
        f"# {found.id}\n",
        f'```python\nenv = mars2_env.make("{found.id}")\n```\n',
        "What each of these means is said on the page of its game, in [environments](../environments.md) and in "
        "[tasks](../tasks.md); any other value is an argument of `make`.\n",
        _table(facts),
        *_spaces(task),
    ]
    if GAMES[rules.game].generators:
        card = getattr(task.generators, "card_size", 0) if task.cards else 0
        layout = layout_of(task, observer=rules.game != "route", card=card)
        parts.append(f"## The vector, {layout.size} numbers\n\n```text\n{layout.describe()}\n```\n")
    return "\n".join(parts)


def _spaces(task: Task) -> Iterator[str]:
    """Yield the spaces of each interface, as the environments themselves have them; nothing is played."""
    for api in GAMES[task.rules.game].apis:
        env: Any = mars2_env.make(task, api=api, sandbox=ScriptedSandbox())
        agent = () if api == "gymnasium" else (env.possible_agents[0],)
        observation = env.observation_space(*agent) if agent else env.observation_space
        action = env.action_space(*agent) if agent else env.action_space
        env.close()
        yield (
            f"## {APIS[api]}\n\n| space | {'of each agent' if agent else ''} |\n|---|---|\n"
            f"| observation | `{observation}` |\n| action | `{action}` |\n"
        )


def _table(facts: dict[str, str]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in facts.items() if value)
