"""What ends an episode, in this order where several would.

`max_faults` faults of one kind that one agent meets in a row; `stop_on_solved`; the tree's budget; the own budgets of
all agents; `patience`; and `stop_when`, a rule of the caller's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mars2_env.episode.events import EndReason
from mars2_env.episode.state import State

StopRule: TypeAlias = Callable[[Any], bool | str | None]
"""Called with the `Episode` after each outcome: something true ends it, and a text says why."""


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
    if own := _own_budgets(state):
        return "budget", own
    if rules.patience is not None and state.stale >= rules.patience:
        return "no_improvement", f"expansions: {state.stale} of {rules.patience}"
    if stop_when is not None and (why := stop_when(state)):
        return "stopped", why if isinstance(why, str) else name_of(stop_when)
    return None


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
