"""What `search` and `record` have in common: agents, a configuration file, and the command line's options before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import mars2_env
from mars2_env.cli.options import chosen_sandbox, say
from mars2_env.config import Config, load_config
from mars2_env.errors import ConfigError
from mars2_env.tasks import agent_names

AgentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--agent",
        help="An agent and its policy, name=policy; give it once for each agent. Policies: hf:smollm2, "
        "hf:CHECKPOINT (language models; options temperature, top_p, max_new_tokens, batch_size), "
        "noise:default (a simulated one that edits reference programs), replay:BANK (what `mars2 record` wrote). With "
        "--config it gives one of the file's agents another policy.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A TOML file with problems, task, agents and rollout; other options come before it."),
]
PrintConfig = Annotated[
    bool, typer.Option("--print-config", help="Print what would be played as such a file, and play nothing.")
]


def parse_agents(texts: list[str] | None) -> dict[str, str]:
    """Return agent name -> policy spec from `name=spec` texts; names are completed as in `task`.

    Raises:
        ConfigError: a text is not `name=spec`.
    """
    names, specs = [], []
    for text in texts or ():
        name, equals, spec = text.partition("=")
        if not equals or not name or not spec:
            raise ConfigError(f"--agent {text!r} is not name=policy, such as coder=hf:smollm2,temperature=0.8.")
        names.append(name)
        specs.append(spec)
    return dict(zip(agent_names(names), specs, strict=True)) if names else {}


def chosen_config(
    ctx: typer.Context, file: Path | None, given: Mapping[str, tuple[str, Any]], *, agents: bool = True
) -> Config:
    """Return what is to be played: what a file says, and before it what the command line does.

    Args:
        ctx: of the command; it knows which options were written, and which are at their defaults.
        file: the configuration file, if there is one; without one, defaults count too.
        given: parameter of the command -> where it stands in a file, and its value; None for nothing.
        agents: whether there must be agents.

    Raises:
        ConfigError: the file makes no sense, or there is no problem set, or no agent.
    """
    base = Config() if file is None else load_config(file)
    changes: dict[str, Any] = {}
    for name, (key, value) in given.items():
        if value is not None and (file is None or _is_written(ctx, name)):
            changes[key] = value
    plan = base.over(changes)
    named = plan.problems
    if base.problems.set != named.set and base.problems.set is not None:  # another set has splits and files of its own
        own = {key.partition(".")[2] for key in changes if key.startswith("problems.")}
        plan = replace(plan, problems=replace(type(named)(), **{name: getattr(named, name) for name in own}))
    if plan.problems.set is None:
        raise ConfigError(
            "no problem set: name one (mars2 problems list), such as mars2 search starter, or a --config."
        )
    if agents and not plan.agents:
        raise ConfigError("no agents: give --agent name=policy for each, or a --config that has them.")
    return plan


def _is_written(ctx: typer.Context, name: str) -> bool:
    """Whether an option was written on the command line, or in an environment variable."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def print_plan(plan: Config) -> None:
    """Print a plan as a configuration file.

    Raises:
        ConfigError: its problems are to come from a file that is not there.
    """
    named = plan.problems
    place = named.set if named.set is not None and named.set.endswith((".jsonl", ".jsonl.gz")) else named.path
    if place is not None and not Path(place).exists():
        raise ConfigError(f"{place}: there is no such file.")
    say(plan.to_toml().rstrip())


def full_task(plan: Config, python_packages: list[str] | None) -> mars2_env.Task:
    """Return the task of a plan, in a sandbox that runs programs.

    Raises:
        ConfigError: the options make no task.
    """
    kind = plan.task_table.sandbox or "auto"
    if kind == "scripted":
        raise ConfigError(f"{plan.file}: task.sandbox='scripted': it runs nothing and invents verdicts.")
    return plan.task(sandbox=chosen_sandbox(kind, python_packages))
