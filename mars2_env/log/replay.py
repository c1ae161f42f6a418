"""Playing a log again: with its own replies and verdicts, and every choice drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mars2_env.episode import PASS, Episode, Rules, StopRule
from mars2_env.episode.events import Asked, Cancelled, Ended, Event, Failed, Joined, Left, Passed, Seeded, Told
from mars2_env.errors import LogError
from mars2_env.log.codec import Header
from mars2_env.log.fold import Tree, read_log, tree_of
from mars2_env.prompt import Prompts
from mars2_env.search.budget import parse_budget
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import make_selector
from mars2_env.types import Limits, PublicView, Reply, Stdin


def make_episode(
    header: Header,
    problem: PublicView,
    selector: Selector | None = None,
    on_event: Callable[[Event], None] | None = None,
    prompts: Prompts | None = None,
    stop_when: StopRule | None = None,
) -> Episode:
    """Return an episode at its start, as a header describes it; `selector` overrides the one named there.

    Without `prompts`, the episode asks in the default way, whatever the header says: that decides no event.
    """
    task = header.task
    rules = Rules(**task["rules"])
    if selector is None and rules.game == "write":
        selector = make_selector(**task["selector"])
    return Episode(
        problem,
        dict(task["agents"]),
        selector,
        parse_budget(task["budget"]),
        header.seed,
        rules=rules,
        prompts=prompts,
        stop_when=stop_when,
        on_event=on_event,
    )


def seen_again(tree: Tree) -> PublicView:
    """Return what a replay has to know of a problem: its id, on which all draws depend, and the seed program.

    No policy is asked, so there are no prompts.
    """
    root = tree.root
    return PublicView(tree.problem, "", Stdin(), (), "", Limits(), None if root is None else root.program)


def replay(log: str | Path | Tree, *, selector: Selector | None = None) -> Tree:
    """Play a log again with its own replies and verdicts, drawing every choice anew, and compare.

    Args:
        log: a tree, or the file of one.
        selector: the selector, where it is not one that the header can name.

    Returns:
        The tree, equal to the logged one.

    Raises:
        LogError: the episode chose otherwise than the log says; the message names the event.
    """
    if isinstance(log, Tree):
        tree = log
    else:
        trees = read_log(log)
        if len(trees) != 1:
            raise LogError(f"{log} holds {len(trees)} trees; replay takes one.")
        tree = trees[0]
    again = Repeated(tree.header, seen_again(tree), selector)
    for event in tree.events:
        again.take(event)
    return tree_of(tree.header, again.made(), again.episode, tree.path)


class Repeated:
    """A log that is played again, event by event: with its own replies and verdicts, and every choice drawn anew.

    Attributes:
        episode: the episode, in the state to which the events so far led.
    """

    def __init__(
        self, header: Header, problem: PublicView, selector: Selector | None = None, prompts: Prompts | None = None
    ) -> None:
        """Begin; the arguments are those of `make_episode`."""
        self._made: list[Event] = []
        self._taken = 0
        self.episode = make_episode(header, problem, selector, self._made.append, prompts)

    def take(self, event: Event) -> None:
        """Do what led to an event, unless that was done with one before it, and compare.

        Raises:
            LogError: the episode did otherwise than the log says; the message names the event.
        """
        if len(self._made) <= self._taken:
            _repeat(self.episode, event)
        if self._made[self._taken : self._taken + 1] != [event]:
            raise LogError(
                f"replay of {self.episode.problem_id}: event {self._taken} was {event!r} and came out as "
                f"{self._made[self._taken :]!r}."
            )
        self._taken += 1

    def made(self) -> tuple[Event, ...]:
        """Return all events that came out, those that the log does not say yet among them."""
        return tuple(self._made)


def _repeat(episode: Episode, event: Event) -> None:
    """Do what led to an event."""
    match event:
        case Seeded():
            episode.plant(event.verdict)
        case Asked():
            episode.ask(event.agent if episode.rules.game == "route" else None)
        case Joined():
            episode.join(event.agent, event.role, budget=event.budget)
        case Left():
            episode.leave(event.agent)
        case Told():
            turn, reply = episode.pending[event.turn], Reply(event.reply, event.parent)
            episode.recall(turn, reply, event.program)
            episode.tell(
                turn,
                reply,
                event.verdict,
                score=event.score if event.given else None,
                model_score=event.model_score,
                usage=event.usage,
            )
        case Passed():
            episode.tell(episode.pending[event.turn], Reply("", episode.passing), PASS)
        case Failed():
            episode.fail(episode.pending[event.turn], event.reason, event.kind)
        case Cancelled():
            episode.cancel(episode.pending[event.turn])
        case Ended(reason="faults") if not episode.asked:  # its seed program could not be graded
            episode.abandon(event.detail)
        case Ended(reason="stopped"):  # by a rule that is not in the log, or from outside
            episode.stop(event.detail)
        case Ended():
            raise LogError(f"the log ends ({event.reason}) where the episode would go on.")
