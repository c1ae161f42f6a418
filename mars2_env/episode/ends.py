"""What ends an episode, in this order where several would.

`max_faults` faults of one kind that one agent meets in a row; `stop_on_solved`; the tree's budget; its rounds; the own
budgets of all agents; a budget without nodes of which 1,000 expansions in a row used nothing; `patience`; and
`stop_when`, a rule of the caller's own.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutine
from typing import Any, Final, TypeAlias

import numpy as np

from mars2_env.base.blame import blamed
from mars2_env.base.checks import shown
from mars2_env.episode.events import EndReason
from mars2_env.episode.state import State
from mars2_env.errors import ConfigError

StopRule: TypeAlias = Callable[[Any], bool | str | None]
"""Called with the `Episode` after each outcome: True ends it, and so does a text that is not empty, which says why."""

MAX_IDLE: Final = 1000
"""So many expansions in a row that use nothing of what is limited end a tree that no number of nodes would end."""


def reason_to_end(state: State, stop_when: StopRule | None = None) -> tuple[EndReason, str] | None:
    """Return why an episode in this state is over, and what exactly ends it; None if it goes on.

    Args:
        state: the state.
        stop_when: a rule of the caller's own, which is called with the state.
    """
    rules = state.rules
    for agent in state.agents:
        if (faults := state.account(agent).faults) >= rules.max_faults:
            return "faults", f"{agent}: {faults} in a row"
        if (unanswered := state.account(agent).unanswered) >= rules.max_faults:
            return "faults", f"{agent}: its policy failed on {unanswered} turns in a row"
    if rules.stop_on_solved and state.solved >= rules.stop_on_solved:
        return "solved", f"programs that pass: {state.solved} of {int(rules.stop_on_solved)}"
    if spent := state.budget.reached(state.spent, state.usage):
        return "budget", spent
    if rules.rounds is not None and state.present and state.rounds_over >= rules.rounds:
        return "budget", f"rounds: {state.rounds_over} of {rules.rounds}"
    if own := _own_budgets(state):
        return "budget", own
    if rules.patience is not None and state.stale >= rules.patience:
        return "no_improvement", f"expansions: {state.stale} of {rules.patience}"
    if rules.patience is None and state.idle >= MAX_IDLE:
        limited = ", ".join(sorted(state.metered))
        return "budget", f"{limited}: nothing was used by {state.idle} expansions in a row; limit nodes too (nodes=60)"
    if stop_when is not None and (why := _asked(stop_when, state)):
        return "stopped", why if isinstance(why, str) else name_of(stop_when)
    return None


def _asked(stop_when: StopRule, state: State) -> bool | str:
    """Return what a stop rule says.

    Raises:
        ConfigError: it is neither True nor False, nor None, nor a text.
    """
    with blamed("stop_when", stop_when):
        why: Any = stop_when(state)
    if why is None:
        return False
    if isinstance(why, bool | np.bool_):
        return bool(why)
    if isinstance(why, str):
        return why
    said = shown(why)
    if iscoroutine(why):
        why.close()
        said = "a coroutine (it is async; a plain function is needed)"
    raise ConfigError(
        f"stop_when {name_of(stop_when)} returned {said}; give True or a text, which says why, to end the tree, and "
        "False or None to go on."
    )


def _own_budgets(state: State) -> str:
    """Return which limits of their own all agents have reached; "" if one of them may go on."""
    found = []
    for agent in state.present:
        account = state.account(agent)
        if account.budget is None or not (spent := account.budget.reached(account.expansions, account.usage)):
            return ""
        found.append(f"{agent}: {spent}")
    return "; ".join(found)


def name_of(rule: object) -> str:
    """Return what a stop rule of the caller's own is called in a log."""
    return getattr(rule, "__qualname__", type(rule).__qualname__)
