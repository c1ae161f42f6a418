"""A run folder, or the log of one tree, as what the page is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from msgspec import json

from mars2_env.base.checks import is_path
from mars2_env.base.spec import Spec, write_spec
from mars2_env.base.texts import elided
from mars2_env.credit import Credit
from mars2_env.credit.samples import advantages_of
from mars2_env.engine import RUN_FILE, read_run
from mars2_env.episode import Event
from mars2_env.errors import ConfigError, LogError, Mars2Error
from mars2_env.judge.facts import MAX_TEXT, shown, shown_call
from mars2_env.log import DAMAGE, Header, Trace, Tree, log_files, read_events, read_header, read_trace, tree_of
from mars2_env.problems import ProblemSet, load_problems, names
from mars2_env.prompt import prompts_from
from mars2_env.results.verdicts import HIDDEN_FILE, HiddenVerdict, Kept, key_of
from mars2_env.search.selectors import make_selector, selector_config
from mars2_env.tasks import load_from
from mars2_env.types import Limits, PublicView, Stdin, TestCase
from mars2_env.view.records import Record, Records, plain, trace_of

MOST_STATEMENT: Final = 100_000
"""Characters of a statement that the page holds."""


@dataclass(frozen=True)
class Run:
    """What is to be looked at.

    Attributes:
        place: the run folder, or the log of one tree.
        said: what the run folder says was run; nothing where it says nothing.
        problems: the problem set that was played; None where it cannot be had.
        trouble: why it cannot be had.
        hidden: what hidden tests found, by key; None where that is not to be shown.
    """

    place: Path
    said: Mapping[str, Any] = field(default_factory=dict)
    problems: ProblemSet | None = None
    trouble: str = ""
    hidden: Kept[HiddenVerdict] | None = None

    @property
    def name(self) -> str:
        """What the page calls it: the name of the folder, or of the file."""
        return self.place.resolve().name

    def logs(self) -> list[Path]:
        """Return its logs, in order of file name.

        Raises:
            LogError: the folder cannot be read.
        """
        return log_files(self.place) if self.place.is_dir() else [self.place]

    def records(self, header: Header, *, brief: bool = False) -> Records:
        """Return what makes the records of the tree of a log; `brief` as for `Records`."""
        trouble: dict[str, str] = {}
        problem, prompts = self._problem(header), None
        if problem is None:
            trouble["prompts"] = self.trouble or "the problem set was another version when this tree was grown"
        else:
            try:
                prompts = prompts_from(header.task.get("prompts", {}))
            except (Mars2Error, AttributeError) as error:
                trouble["prompts"] = str(error)
        return Records(header, problem, prompts, self._hidden_of(header), trouble, brief=brief)

    def _problem(self, header: Header) -> PublicView | None:
        """Return what may be seen of a problem, if the set is the one that was played."""
        problems = self.problems
        if problems is None or problems.hash != header.problems or header.problem not in problems:
            return None
        problem = problems[header.problem]
        if (limits := header.task.get("limits")) is not None:
            problem = replace(problem, limits=Limits(**limits))
        return problem.public_view()

    def _hidden_of(self, header: Header) -> Callable[[str], bool | None] | None:
        kept = self.hidden
        if kept is None:
            return None
        tree = Tree(header, (), (), None, None)

        def passes(program: str) -> bool | None:
            found = kept.get(key_of(tree, program))
            return None if found is None else found.passed

        return passes

    def about(self, header: Header | None) -> Record:
        """Return what the page says of the whole run, by the header of its first tree."""
        task: Mapping[str, Any] = {} if header is None else header.task
        team = self.said.get("team")
        team = team if isinstance(team, Mapping) else {}
        planned = self.said.get("plan")
        return {
            "name": self.name,
            "set": task.get("problem_set", ""),
            "split": task.get("split", ""),
            "agents": [
                {"name": agent, "role": role, "policy": str(team.get(agent, ""))}
                for agent, role in task.get("agents", ())
            ],
            "selector": selector_text(task.get("selector")),
            "budget": budget_text(task.get("budget", {})),
            "rules": dict(task.get("rules", {})),
            "reward_model": task.get("reward_model"),
            "sandbox": "" if header is None else header.sandbox,
            "package": "" if header is None else header.package,
            "planned": len(planned) if isinstance(planned, list) else None,
            "hidden": self.hidden is not None,
        }

    def problem(self, header: Header) -> Record:
        """Return what may be seen of a tree's problem; its id alone where the set cannot be had."""
        view = self._problem(header)
        if view is None:
            return {"id": header.problem}
        return {
            "id": view.id,
            "statement": elided(view.statement, MOST_STATEMENT),
            "starter": view.starter_code,
            "public": [_test(view, test) for test in view.public],
        }


def _test(problem: PublicView, test: TestCase) -> list[str]:
    interface = problem.interface
    if isinstance(interface, Stdin):
        return [elided(test.input, MAX_TEXT), elided(test.output, MAX_TEXT)]
    return [elided(shown_call(interface.name, test.input), MAX_TEXT), elided(shown(test.output), MAX_TEXT)]


def selector_text(config: Mapping[str, Any] | None) -> str:
    """Return a selector as it is written in a command: its name, and what differs from its default."""
    if config is None:
        return ""
    name = str(config.get("name", ""))
    try:
        default: Mapping[str, Any] = selector_config(make_selector(name))
    except (Mars2Error, TypeError):
        default = {}
    options = {
        key: _option(name, key, value)
        for key, value in config.items()
        if key != "name" and not _same(value, default.get(key))
    }
    return write_spec(Spec(name, "", options))


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one as JSON has them, which knows no tuples."""
    return json.encode(one) == json.encode(other)


def _option(name: str, key: str, value: Any) -> str:
    """Return the value of a selector's option as it is written: `default` where that means it."""
    if not isinstance(value, Mapping):
        return str(value)
    try:
        meant = selector_config(make_selector(f"{name},{key}=default")).get(key)
    except (Mars2Error, TypeError):
        meant = None
    return "default" if _same(meant, value) else " ".join(f"{inner}={one}" for inner, one in value.items())


def budget_text(config: Mapping[str, Any]) -> str:
    """Return a budget as it is written in a command."""
    own = config.get("agents")
    pairs = [f"{name}={limit}" for name, limit in config.items() if name != "agents"]
    for agent, limits in own.items() if isinstance(own, Mapping) else ():
        pairs += [f"{agent}.{name}={limit}" for name, limit in limits.items()]
    return ",".join(pairs)


def open_run(place: str | Path, *, hidden: bool = False, begun: bool = True) -> Run:
    """Return a run, or one tree of it, to be looked at.

    Args:
        place: a run folder, or the log of one tree.
        hidden: whether what `evaluate` found on hidden tests is to be shown.
        begun: whether there has to be a tree by now; a run that is just beginning has none yet.

    Raises:
        LogError: there is no log there.
        ConfigError: `place` is no path, or hidden verdicts are asked for and nobody found any.
    """
    if not is_path(place):
        raise ConfigError(f"a run is named by its folder, or the log of one tree, not by {place!r:.200}.")
    path = Path(place)
    if not path.exists():
        raise LogError(f"{path}: there is nothing; give a run folder, as `mars2 search --out` makes one, or a log.")
    folder = path if path.is_dir() else path.parent.parent
    if begun and path.is_dir() and not log_files(path):
        hint = "; a run folder has its logs in its folder trees"
        if any(log_files(inner) for inner in (path / "rollouts").glob("*") if inner.is_dir()):
            hint = f"; it is a training, whose runs are {path / 'rollouts'}/*: give one of those"
        raise LogError(f"{path} holds no trees{hint}.")
    said = read_run(folder) if (folder / RUN_FILE).exists() else {}
    problems, trouble = None, ""
    try:
        problems = _problems_of(said, path)
    except (Mars2Error, OSError, LookupError, ValueError) as error:
        trouble = f"the problem set could not be loaded: {error!s:.300}"
    kept = None
    if hidden:
        if not (folder / HIDDEN_FILE).exists():
            raise ConfigError(f"{folder} has no verdicts on hidden tests; run `mars2 evaluate {folder}` first.")
        kept = Kept(folder / HIDDEN_FILE, HiddenVerdict)
    return Run(path, said, problems, trouble, kept)


def _problems_of(said: Mapping[str, Any], place: Path) -> ProblemSet:
    """Load the problem set of a run: as its folder says, else by the name that its logs give.

    Raises:
        ConfigError: neither says one that can be loaded.
    """
    source = said.get("source")
    if isinstance(source, Mapping) and "problems" in source:
        return load_from(source)
    header = next((read_header(log) for log in (log_files(place) if place.is_dir() else [place])), None)
    named = None if header is None else header.task.get("problem_set")
    if header is None or named not in names():
        raise ConfigError("neither the run folder nor its logs name a set that can be loaded here")
    return load_problems(named, split=header.task.get("split"))


@dataclass(frozen=True, slots=True)
class Made:
    """A tree made for the page: its line in the list, and all of it."""

    summary: Record
    tree: Record


def made(run: Run, log: Path) -> Made | None:
    """Return a tree of a run as the page takes it; None where its log has not even a header.

    Raises:
        LogError: the log is damaged.
    """
    header, events = read_events(log)
    if header is None:
        return None
    return made_of(run, header, events, read_trace(log), log)


def made_of(
    run: Run, header: Header, events: Sequence[Event], traces: Mapping[int, Trace], path: Path | None = None
) -> Made:
    """Return a tree as the page takes it.

    Args:
        run: the run that it is of.
        header: of its log.
        events: of its log.
        traces: what each turn cost.
        path: the log, where there is one.

    Raises:
        LogError: an event does not follow from those before it; the log and the line are named.
    """
    records = run.records(header)
    records.spend(traces)
    told: list[Record] = []
    for line, event in enumerate(events, start=2):
        try:
            told.append(records.take(event))
        except DAMAGE as error:
            place = "" if path is None else f"{path}: "
            raise LogError(f"{place}line {line}: the events do not make a tree: {error!s:.300}") from None
    tree: Record = {
        **head_of(run, header),
        "events": told,
        "traces": {str(turn): trace_of(trace) for turn, trace in sorted(traces.items())},
        "trouble": records.trouble,
    }
    state = records.state
    if state.ended not in (None, "faults"):
        tree["credit"] = credit_of(tree_of(header, tuple(events), state, path))
    return Made(records.summary(), tree)


def head_of(run: Run, header: Header) -> Record:
    """Return what is known of a tree before its first event."""
    return {"problem": run.problem(header), "seed": header.seed}


def credit_of(tree: Tree) -> Record:
    """Return what each node of a finished tree is worth, by the paper's credit with its defaults (`Credit()`)."""
    how = Credit()
    (shaped,), (gained,) = advantages_of([tree], how)
    return {"name": str(how.credit), "shaped": plain(shaped.tolist()), "advantage": plain(gained.tolist())}


def first_header(run: Run) -> Header | None:
    """Return the header of a run's first tree that has one."""
    headers: Iterable[Header | None] = (read_header(log) for log in run.logs())
    return next((header for header in headers if header is not None), None)


def all_made(run: Run, observer: Callable[[int, int], None] | None = None) -> Iterator[Made]:
    """Yield each tree of a run; `observer` is called with (trees made, trees in all)."""
    logs = run.logs()
    for place, log in enumerate(logs, start=1):
        found = made(run, log)
        if observer is not None:
            observer(place, len(logs))
        if found is not None:
            yield found
