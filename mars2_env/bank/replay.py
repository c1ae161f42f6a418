"""The policy that answers from a bank of recorded replies.

Spec: `replay:BANK`, the folder that `mars2 record` wrote or the file in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from mars2_env.bank.file import Bank, Place, Recorded, about, read_bank
from mars2_env.errors import ConfigError, PolicyError, unknown_name
from mars2_env.problems import ProblemSet
from mars2_env.types import Given, Reply, Turn

_SHOWN = 6


class ReplayPolicy:
    """Answers each turn with the reply that was recorded at its place, instantly and always the same.

    A place is (problem, agent, way to the parent, which child). It does not depend on the seed, so searches with any
    seed and selector play within one bank. What was not recorded is an error that names the place, and so is a turn
    that asks about another program or prompt than the recorded one did: never another reply.

    Args:
        bank: a bank that has been read, its folder or its file.
        problems: the problems to be played; a bank of another set is refused. None leaves that unchecked.

    Raises:
        LogError: there is no bank, or it is unfinished or damaged.
        PolicyError: it was recorded on another problem set.
    """

    def __init__(self, bank: Bank | str | Path, problems: ProblemSet | None = None) -> None:
        self.bank = bank if isinstance(bank, Bank) else read_bank(bank)
        header = self.bank.header
        if problems is not None and problems.hash != header.problems_hash:
            ours = f"{problems.name!r}, split {problems.split!r}"
            theirs = f"{header.problem_set!r}, split {header.split!r}"
            same = ", in another version or with other options" if ours == theirs else ""
            raise PolicyError(
                f"{self.bank.path} was recorded on {theirs}{same} (hash {header.problems_hash[:16]}), and {ours} (hash "
                f"{problems.hash[:16]}) is to be played; record a bank of it."
            )

    def __repr__(self) -> str:
        return f"ReplayPolicy({str(self.bank.path)!r}, {len(self.bank.replies)} replies)"

    @property
    def identity(self) -> str:
        """A digest of all that the bank holds."""
        return f"replay:{self.bank.digest[:16]}"

    @property
    def simulated(self) -> bool:
        """Whether no model stood behind one of the agents that were recorded."""
        return any(agent.simulated for agent in self.bank.header.agents.values())

    @property
    def gives(self) -> Collection[Given]:
        """Token counts and costs, if every reply was recorded with them."""
        replies = self.bank.replies.values()
        told: list[Given] = []
        if all(one.completion_tokens is not None for one in replies):
            told.append("token_counts")
        if all(one.cost is not None for one in replies):
            told.append("cost")
        return told

    def prepare(self, agents: Sequence[str], problems: Sequence[str]) -> None:
        """Check that these agents and problems were recorded.

        Raises:
            PolicyError: one was not.
        """
        header, where = self.bank.header, self.bank.path
        for agent in agents:
            if agent not in header.agents:
                raise PolicyError(f"{where}: {unknown_name('agent in this bank', agent, header.agents)}")
        if lacking := [id for id in problems if id not in set(header.problems)]:
            shown = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
            raise PolicyError(
                f"{where} holds {len(header.problems)} problems, and {len(lacking)} of the {len(problems)} to be "
                f"played are not among them: {shown}. Play others (problems=, --problem, --limit), or record these too."
            )

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return the recorded reply to each turn, in order.

        Raises:
            PolicyError: one was not recorded, or was recorded for another program or prompt.
        """
        return [self._recorded(turn).reply() for turn in turns]

    def _recorded(self, turn: Turn) -> Recorded:
        if turn.path is None or turn.child is None:
            raise PolicyError(
                f"{self.bank.path}: turn {turn.id} leaves the place to {turn.agent}, and a bank holds no choices of "
                "places: play 'write', or 'place' and 'route' with this policy as generator."
            )
        place = turn.problem.id, turn.agent, turn.path, turn.child
        found = self.bank.replies.get(place)
        if found is None:
            raise PolicyError(f"{self.bank.path}: {self._missing(turn, place)}")
        if found.about != about(turn):
            raise PolicyError(
                f"{self.bank.path}: child {turn.child} of {turn.agent} {_way(found)} of {turn.problem.id!r} was "
                f"recorded, but node {turn.parent} is not what the recorded reply was about: "
                + ("its prompt differs" if turn.program is None else "its program, or how it fails, differs")
                + ". Replay with the roles, prompts, score_on and limits of the recording, every agent from the bank."
            )
        return found

    def _missing(self, turn: Turn, place: Place) -> str:
        """Say which place was not recorded, as far as the bank knows the way to it."""
        header = self.bank.header
        beside = next(
            (
                self.bank.replies[turn.problem.id, agent, place[2], 0]
                for agent in header.agents
                if self._has(place, agent)
            ),
            None,
        )
        way = f"below node {turn.parent} (path {turn.path:016x})" if beside is None else _way(beside)
        return (
            f"no reply was recorded for child {turn.child} of {turn.agent} {way} of {turn.problem.id!r}; the bank "
            f"holds children 0 to {header.children - 1} of {', '.join(header.agents)} at every place to depth "
            f"{header.depth}. Spend less (--budget), use a search that stays within that, or record more."
        )

    def _has(self, place: Place, agent: str) -> bool:
        return (place[0], agent, place[2], 0) in self.bank.replies


def _way(one: Recorded) -> str:
    """Return where a recorded reply belongs, in words."""
    steps = " > ".join(f"{agent}#{child}" for agent, child in one.path)
    return f"below {steps}" if steps else "at the root"


def from_spec(rest: str, *, problems: ProblemSet | None = None) -> ReplayPolicy:
    """Build the policy of a spec `replay:BANK`.

    Args:
        rest: the bank's folder, or its file.
        problems: the problems to be played.

    Raises:
        ConfigError: the rest is missing.
        LogError: there is no bank, or it is unfinished or damaged.
        PolicyError: it was recorded on another problem set.
    """
    if not rest:
        raise ConfigError("replay needs a bank: replay:FOLDER, as `mars2 record ... --out FOLDER` writes it.")
    return ReplayPolicy(Path(rest).expanduser(), problems)
