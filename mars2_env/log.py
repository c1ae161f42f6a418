"""The event log: one file of JSON lines per tree, from which everything else about a search is read.

Line 1 is the header, every further line an event of the episode, written to the operating system before the episode
changes by it and synced to disk when the tree ends. Clock times, token counts and sampled tokens live in a trace file
beside the log, so that two runs with the same task, seed and replies have byte-identical logs.

    runs/x/run.json                          task, team and seed of the run
    runs/x/trees/HumanEval%2F0.seed0.jsonl   the log of one tree
    runs/x/trees/HumanEval%2F0.seed0.trace   its trace
    runs/x/hidden.jsonl                      verdicts on hidden tests, written by `evaluate` after trees are closed
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from mars2_env.episode import Episode, Rules, StopRule
from mars2_env.errors import LogError, Mars2Error, unknown_name
from mars2_env.events import Asked, Cancelled, Ended, Event, Failed, Joined, Left, Seeded, Told
from mars2_env.prompt import Prompts
from mars2_env.search.budget import parse_budget
from mars2_env.search.choice import Selector
from mars2_env.search.selectors import make_selector
from mars2_env.types import Generation, Limits, Node, PublicView, Reply, Stdin

SCHEMA = 1

EVENTS: dict[str, type[Event]] = {
    "seeded": Seeded,
    "joined": Joined,
    "left": Left,
    "asked": Asked,
    "told": Told,
    "failed": Failed,
    "cancelled": Cancelled,
    "ended": Ended,
}
NAMES = {kind: name for name, kind in EVENTS.items()}

OMITTED: dict[str, Any] = {"detail": "", "given": False, "model_score": None, "usage": None, "budget": None}
"""Fields that came after the first version of the format, and their defaults: at these they are not written."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a log: everything that decides what the tree can be, but for the replies.

    Attributes:
        problem: the problem's id.
        seed: the seed of the episode.
        task: the configuration that decides the tree: agents and roles, budget, selector, rules, limits.
        task_hash: SHA-256 of `task` in canonical form.
        problems: SHA-256 over the whole problem set.
        sandbox: identity of the sandbox (back end, Python version, image hash).
        package: version of mars2_env that wrote the log.
        schema: version of this format.
    """

    problem: str
    seed: int
    task: dict[str, Any]
    task_hash: str
    problems: str
    sandbox: str
    package: str
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree as its log tells it: finished if `ended` is set, else cut off.

    `ended` is one of `mars2_env.events.EndReason`, and `detail` says what exactly ended it. `nodes` are in order of id,
    from 1; `root` is the seed node (number 0) of a repair problem, None elsewhere; `path` is the log file, None for a
    tree that was not logged.
    """

    header: Header
    events: tuple[Event, ...]
    nodes: tuple[Node, ...]
    ended: str | None
    answer: int | None
    path: Path | None = field(default=None, compare=False)
    root: Node | None = None
    detail: str = ""

    @property
    def problem(self) -> str:
        """The problem's id."""
        return self.header.problem

    @property
    def seed(self) -> int:
        """The seed of the episode."""
        return self.header.seed

    @property
    def best_score(self) -> float:
        """The highest score of any node; 0 for an empty tree."""
        return max((node.score for node in self.nodes), default=0.0)

    @property
    def duplicates(self) -> int:
        """How many nodes repeat an earlier program (after normalisation)."""
        return sum(node.duplicate_of is not None for node in self.nodes)


def encode_event(event: Event) -> bytes:
    """Return the line of an event, without its newline."""
    data: dict[str, Any] = {"event": NAMES[type(event)], **msgspec.to_builtins(event)}
    if isinstance(event, Told | Seeded):
        del data["verdict"]["cpu_seconds"]  # a clock time
    for name in [name for name, default in OMITTED.items() if name in data and data[name] == default]:
        del data[name]
    if "usage" in data:
        data["usage"] = {name: value for name, value in data["usage"].items() if value}
    return msgspec.json.encode(data)


def decode_event(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        LogError: the line is not an event of this schema.
    """
    try:
        data = msgspec.json.decode(line)
        name = data.pop("event")
        if name not in EVENTS:
            raise LogError(unknown_name("event", name, EVENTS))
        return msgspec.convert(data, EVENTS[name])
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError) as error:
        raise LogError(f"not an event: {error}") from None


def log_path(out: str | Path, problem: str, seed: int) -> Path:
    """Return where the log of a tree lies in a run folder."""
    name = quote(problem, safe=" ")
    if len(name) > 120:  # file systems take names of up to 255 bytes
        name = f"{name[:100]}~{sha256(problem.encode()).hexdigest()[:16]}"
    return Path(out) / "trees" / f"{name}.seed{seed}.jsonl"


def _read_lines(path: Path) -> tuple[Header | None, list[Event], int]:
    """Return header, events, and how many bytes of the file are whole lines."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].splitlines()
    if not lines:
        return None, [], 0
    try:
        found = msgspec.json.decode(lines[0])
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise LogError(f"{path}: line 1: schema {schema!r}; this version reads schema {SCHEMA}.")
        header = msgspec.convert(found, Header)
    except msgspec.MsgspecError as error:
        raise LogError(f"{path}: line 1: not a log header: {error}") from None
    events: list[Event] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            events.append(decode_event(line))
        except LogError as error:
            raise LogError(f"{path}: line {number}: {error}") from None
    return header, events, whole


def _lock(descriptor: int, path: Path) -> None:
    """Take the log for this writer alone; the lock goes with the process."""
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LogError(f"{path} is being written by another run; wait for it, or use another output folder.") from None


def _append(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class LogWriter:
    """Appends the events of one tree to its file.

    Opening a file that holds events already resumes it: `events` are those to be folded before going on. A last line
    that was cut off is removed.
    """

    def __init__(self, path: str | Path, header: Header) -> None:
        """Open or resume the log at `path`.

        Raises:
            LogError: the file belongs to another configuration; the message names the first key that differs.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _lock(self._file, self.path)
            found, self.events, whole = _read_lines(self.path)
            if found is not None:
                check_same(self.path, found, header)
        except BaseException:
            self.close()
            raise
        os.ftruncate(self._file, whole)
        if found is None:
            _append(self._file, msgspec.json.encode(header) + b"\n")

    def __call__(self, event: Event) -> None:
        """Write one event; a tree's last event is synced to disk.

        Raises:
            LogError: the log was closed.
        """
        if self._file < 0:
            raise LogError(f"{self.path} is closed; begin another tree (an environment: call reset()).")
        _append(self._file, encode_event(event) + b"\n")
        if isinstance(event, Ended):
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file; it can be resumed later."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def check_same(where: str | Path, found: Any, wanted: Any, name: str = "") -> None:
    """Refuse to go on with what another configuration began.

    Raises:
        LogError: the two differ; the message names the first differing key with both values.
    """
    found, wanted = (msgspec.json.decode(msgspec.json.encode(one)) for one in (found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        # the parts before their hashes: a name and two values say more than two digests
        order = sorted({*found, *wanted}, key=lambda key: (key.endswith("hash") or key == "problems", key))
        for key in order:
            check_same(where, found.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
    elif found != wanted:
        raise LogError(
            f"{where} was begun under another configuration: {name} was {found!r} and is now {wanted!r}. "
            "Use the same settings to resume, or another output folder."
        )


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


class _NoSelector:
    """Stands in where a log is only folded: nothing is drawn."""

    def select(self, *_: Any) -> Any:
        raise LogError("this episode was folded from a log without its selector; it cannot go on.")


def _unseen(problem: str, events: Sequence[Event]) -> PublicView:
    """Return a view of the id, on which all draws depend, and of the seed program; its prompts are never used."""
    seeds = [event.program for event in events[:1] if isinstance(event, Seeded)]
    return PublicView(problem, "", Stdin(), (), "", Limits(), *seeds)


def fold(header: Header, events: tuple[Event, ...], path: Path | None = None) -> Tree:
    """Return the tree that a header and events tell of.

    Raises:
        LogError: an event does not follow from those before it.
    """
    selector = _NoSelector() if header.task["rules"]["game"] == "write" else None
    episode = make_episode(header, _unseen(header.problem, events), selector)
    for event in events:
        episode.apply(event)
    return tree_of(header, events, episode, path)


def tree_of(header: Header, events: tuple[Event, ...], episode: Episode, path: Path | None = None) -> Tree:
    """Return the tree of an episode whose events these are."""
    answer = episode.answer()
    return Tree(
        header,
        events,
        tuple(episode.nodes),
        episode.ended,
        answer.id if answer else None,
        path,
        episode.root,
        episode.end_detail,
    )


def read_log(path: str | Path) -> list[Tree]:
    """Read the log of one tree (a file) or of every tree of a run (its folder), in order of file name.

    Raises:
        LogError: there is no log there, or one is damaged; the message names file and line.
    """
    if not isinstance(path, str | os.PathLike):
        raise LogError(f"a log is named by its file or folder, not by {path!r:.200}.")
    place = Path(path)
    if place.is_dir():
        files = sorted((place / "trees").glob("*.jsonl"))
        if not files:
            raise LogError(f"{place} holds no trees; a run folder has its logs in {place / 'trees'}.")
    else:
        files = [place]
    trees = []
    for file in files:
        header, events, _ = _read_lines(file)
        if header is None:
            if place.is_dir():
                continue  # killed before the first line was out
            raise LogError(f"{file} is empty.")
        try:
            trees.append(fold(header, tuple(events), file))
        except (Mars2Error, LookupError, TypeError, ValueError, MemoryError) as error:
            raise LogError(f"{file}: the events do not make a tree: {error!s:.300}") from None
    return trees


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
    again: list[Event] = []
    episode = make_episode(tree.header, _unseen(tree.problem, tree.events), selector, again.append)
    for number, event in enumerate(tree.events):
        if len(again) <= number:
            _repeat(episode, event)
        if again[number : number + 1] != [event]:
            raise LogError(
                f"replay of {tree.problem}: event {number} was {event!r} and came out as {again[number:]!r}."
            )
    return tree_of(tree.header, tuple(again), episode, tree.path)


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
            episode.tell(
                episode.pending[event.turn],
                Reply(event.reply, event.parent),
                event.verdict,
                score=event.score if event.given else None,
                model_score=event.model_score,
                usage=event.usage,
            )
        case Failed():
            episode.fail(episode.pending[event.turn], event.reason)
        case Cancelled():
            episode.cancel(episode.pending[event.turn])
        case Ended(reason="faults") if not episode.asked:  # its seed program could not be graded
            episode.abandon()
        case Ended(reason="stopped"):  # by a rule that is not in the log, or from outside
            episode.stop(event.detail)
        case Ended():
            raise LogError(f"the log ends ({event.reason}) where the episode would go on.")


@dataclass(frozen=True, slots=True)
class Trace:
    """What one expansion cost; in a file beside the log, since none of it repeats exactly.

    Seconds are wall-clock; `policy_seconds` is this turn's share of its batch. `generation` holds the sampled tokens.
    """

    turn: int
    policy_seconds: float = 0.0
    judge_seconds: float = 0.0
    cpu_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    generation: Generation | None = None


def trace_path(log: Path) -> Path:
    """Return where the trace of a log lies."""
    return log.with_suffix(".trace")


def append_trace(log: Path, trace: Trace) -> None:
    """Append one line to the trace of a log."""
    with open(trace_path(log), "ab") as file:
        file.write(msgspec.json.encode(trace) + b"\n")


def read_trace(log: Path) -> dict[int, Trace]:
    """Return the trace of a log by turn: the last line of each turn that was told; a line cut off is ignored."""
    found: dict[int, Trace] = {}
    try:
        data = trace_path(log).read_bytes()
    except FileNotFoundError:
        return found
    for line in data.splitlines():
        try:
            trace = msgspec.json.decode(line, type=Trace)
        except msgspec.MsgspecError:
            continue
        found[trace.turn] = trace
    return found


def task_hash(task: Mapping[str, Any]) -> str:
    """Return SHA-256 of a task's configuration in canonical JSON."""
    return sha256(msgspec.json.encode(task, order="deterministic")).hexdigest()
