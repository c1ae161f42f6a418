"""How different the programs of searches are: right and wrong ones apart, at equal numbers of programs.

More programs have more classes, so nothing is compared at unequal numbers: of every problem the same number of programs
is looked at, in every search and for right and wrong ones alike, and problems with fewer are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from functools import partial as bound
from itertools import combinations
from statistics import median_low
from threading import Event
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from mars2_env.base import keys
from mars2_env.base.checks import whole_number
from mars2_env.base.machine import cores
from mars2_env.errors import ConfigError
from mars2_env.problems import ProblemSet
from mars2_env.prompt.syntax import normal_form
from mars2_env.results.answers import alike, runs_on
from mars2_env.results.arms import Arm, Key, Runs, arms_of, paired_keys
from mars2_env.results.diversity import (
    da_at_k,
    distinct_k,
    effective_algorithms,
    nauadc,
    subsets,
    utility_k,
    vendi_score,
)
from mars2_env.results.grading import checked, grade, sandbox_for
from mars2_env.results.paired import bootstrap_interval
from mars2_env.results.shapes import Shape, normalised_distance, shape_of, similarity
from mars2_env.results.variations import INPUTS, varied_inputs
from mars2_env.sandbox import CachedSandbox, Sandbox
from mars2_env.tasks import outlasting
from mars2_env.types import PublicView, Run, Stdin

Programs: TypeAlias = Literal["all", "correct", "wrong"]
"""Which programs are looked at; right is what passes the hidden tests."""

Equality: TypeAlias = Literal["program", "shape", "behaviour"]
"""What makes two programs one: equal syntax trees; equal shapes; equal outputs on varied inputs."""

BY_CLASS: Final[Mapping[str, str]] = {
    "da": "DA@K",
    "ea": "EA",
    "nauadc": "NAUADC",
    "distinct": "distinct_K",
    "utility": "utility_K",
}
BY_PROGRAM: Final[Mapping[str, str]] = {"vendi": "Vendi", "ast_distance": "AST distance"}

BEHAVIOUR_FILE: Final = "behaviour.sqlite"
"""What programs of a run did on varied inputs."""

_DRAWS: Final = 32
"""Over how many choices of programs a measure without a closed form is averaged."""

_PAIRS: Final = 16
"""How many pairs of programs of a problem the mean distance is of, at most."""


@dataclass(frozen=True, slots=True)
class Written:
    """One program of a problem: its classes by each equality, and whether it passes the hidden tests."""

    program: str
    passed: bool
    classes: Mapping[Equality, int]


@dataclass(frozen=True, slots=True)
class Spread:
    """One measure of one search: the mean over problems.

    Attributes:
        arm: the search.
        programs: which of its programs.
        equality: what makes two programs one; None for measures that ask how alike they are.
        measure: a key of `BY_CLASS` or `BY_PROGRAM`.
        value: the mean over problems.
        interval: its 95 % percentile bootstrap interval over problems; the value twice of a single problem.
        problems: how many problems have enough programs, in every search.
    """

    arm: str
    programs: Programs
    equality: Equality | None
    measure: str
    value: float
    interval: tuple[float, float]
    problems: int


@dataclass(frozen=True, slots=True)
class Diversity:
    """How different programs are.

    Attributes:
        arms: the searches, by name.
        count: how many programs of a problem are looked at (K).
        problems: how many problems the searches have in common.
        inputs: on how many varied inputs behaviour was compared, at most.
        written: search -> which programs -> how many there are, over all these problems.
        spreads: the measures.
        notes: what a reader has to know besides.
    """

    arms: tuple[str, ...]
    count: int
    problems: int
    inputs: int
    written: dict[str, dict[str, int]]
    spreads: tuple[Spread, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """What was measured, in short."""
        return f"Diversity({', '.join(map(repr, self.arms))}: {self.count} programs of {self.problems} problems)"

    def value(
        self, arm: str, measure: str, programs: Programs = "all", equality: Equality | None = None
    ) -> float | None:
        """Return a measure; None where no problem has enough programs."""
        wanted = (arm, programs, equality, measure)
        found = (one for one in self.spreads if (one.arm, one.programs, one.equality, one.measure) == wanted)
        return next((one.value for one in found), None)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, as `mars2 diversity --json` prints it."""
        return asdict(self)


def diversity_of(
    runs: Runs,
    *,
    problems: ProblemSet | str | None = None,
    sandbox: Sandbox | None = None,
    count: int | None = None,
    inputs: int = INPUTS,
    partial: bool = False,
    observer: Callable[[int, int], None] | None = None,
) -> Diversity:
    """Measure how different the programs of one search or several are.

    Every node with a program counts, copies too: what is measured is what was written. Several searches are measured on
    the problems and seeds that all of them finished.

    Args:
        runs: run folders; those of one search under other seeds count as one. Or name -> a run folder, or trees.
        problems: the problem set that was played, or its name; run folders know how to load their own.
        sandbox: as for `evaluate`; behaviour is found in it too.
        count: how many programs of a problem are compared. By default the least, over searches and over right and wrong
            programs, of the middle numbers that problems with two or more have.
        inputs: on how many inputs, varied from the public ones, behaviour is compared.
        partial: whether runs that are not finished are measured.
        observer: called with (nodes graded, nodes in all), then with (programs run, programs in all).

    Raises:
        ConfigError: there is nothing to measure, or what `evaluate` refuses.
        LogError: a run folder is unreadable.
        SandboxError: the sandbox could not decide.
    """
    problems = checked("diversity_of", problems, sandbox, "best", partial, observer)
    whole_number("inputs", inputs, where="diversity_of")
    if count is not None:
        whole_number("count", count, least=2, where="diversity_of")
    played = arms_of(runs, problems, partial=partial, least=1, where="diversity_of")
    graded = iter(grade([one for arm in played for one in arm.played], sandbox=sandbox, observer=observer))
    arms = [arm.graded([tree for _ in arm.played for tree in next(graded)], "best") for arm in played]
    pairing = paired_keys(arms)
    if not pairing.pairs:
        raise ConfigError(f"{' and '.join(repr(arm.name) for arm in arms)} have no problem and seed in common.")
    used = sandbox if sandbox is not None else sandbox_for([one.tree for arm in arms for one in arm.trees.values()])
    written = _written(arms, sorted(pairing.pairs), used, inputs, observer)
    found = {arm: {which: _of(of, which) for which in get_args(Programs)} for arm, of in written.items()}
    chosen = count if count is not None else _count(found)
    notes = list(pairing.notes)
    spreads: list[Spread] = []
    for which in get_args(Programs):
        enough = [
            problem
            for problem in next(iter(found.values()))[which]
            if all(len(of[which][problem]) >= chosen for of in found.values())
        ]
        if not enough:
            notes.append(f"no problem has {chosen} {which} programs in every search")
        for arm, of in found.items() if enough else ():
            spreads += _spreads(arm, which, {problem: of[which][problem] for problem in enough}, chosen)
    return Diversity(
        tuple(found),
        chosen,
        len({problem for problem, _ in pairing.pairs}),
        inputs,
        {arm: {which: sum(map(len, of[which].values())) for which in of} for arm, of in found.items()},
        tuple(spreads),
        tuple(notes),
    )


def _of(written: Mapping[str, Sequence[Written]], which: Programs) -> dict[str, list[Written]]:
    return {
        problem: [one for one in of if which == "all" or one.passed == (which == "correct")]
        for problem, of in written.items()
    }


def _count(found: Mapping[str, Mapping[Programs, Mapping[str, Sequence[Written]]]]) -> int:
    """Return the number of programs at which all is compared, where nobody says one."""
    middles = []
    for of in found.values():
        for which in ("correct", "wrong"):
            numbers = [len(one) for one in of[which].values() if len(one) > 1]
            if numbers:
                middles.append(median_low(numbers))
    return min(middles, default=2)


def _written(
    arms: Sequence[Arm],
    pairs: Sequence[Key],
    sandbox: Sandbox,
    inputs: int,
    observer: Callable[[int, int], None] | None,
) -> dict[str, dict[str, list[Written]]]:
    """Return search -> problem -> its programs, by seed and then in the order they were written."""
    texts: dict[str, dict[bytes, _Text]] = {}  # problem -> normal form -> the first program of it
    for number, arm in enumerate(arms):
        for key in pairs:
            for node in arm.trees[key].tree.nodes:
                if node.program is not None:
                    texts.setdefault(key[0], {}).setdefault(normal_form(node.program), (node.program, number))
    behaviour = _behaviours(arms, texts, sandbox, inputs, observer)
    classes: dict[str, dict[bytes, dict[Equality, int]]] = {}
    for problem, of in texts.items():
        shapes = _numbered([shape_of(text) or text for text, _ in of.values()])
        classes[problem] = {
            form: {"program": place, "shape": shapes[place], "behaviour": behaviour[problem][place]}
            for place, form in enumerate(of)
        }
    found: dict[str, dict[str, list[Written]]] = {arm.name: {} for arm in arms}
    for arm in arms:
        for key in pairs:
            graded = arm.trees[key]
            found[arm.name].setdefault(key[0], []).extend(
                Written(node.program, passed, classes[key[0]][normal_form(node.program)])
                for node, passed in zip(graded.tree.nodes, graded.passed, strict=True)
                if node.program is not None
            )
    return found


_Text: TypeAlias = tuple[str, int]
"""A program, and the place of the search that wrote it first."""


def _numbered(things: Sequence[Any]) -> list[int]:
    """Return the number of each thing, equal ones having one."""
    known: dict[Any, int] = {}
    return [known.setdefault(thing, len(known)) for thing in things]


def _behaviours(
    arms: Sequence[Arm],
    texts: Mapping[str, Mapping[bytes, _Text]],
    sandbox: Sandbox,
    inputs: int,
    observer: Callable[[int, int], None] | None,
) -> dict[str, list[int]]:
    """Return problem -> the class of each of its different programs by what it does on varied inputs.

    Programs that produce nothing on any input are of one class, and so are all where there are no inputs to vary. What
    they do is kept in the run folder, so that nothing runs twice.
    """
    views: dict[str, tuple[PublicView, bool]] = {}
    for key, one in arms[0].trees.items():
        views[key[0]] = (arms[0].problem(key).public_view(), bool(one.tree.header.task["strict_types"]))
    further = {name: varied_inputs(views[name][0], inputs) for name in texts}
    folders = [next((one.folder for one in arm.played if one.folder is not None), None) for arm in arms]
    boxes = [sandbox if folder is None else CachedSandbox(sandbox, folder / BEHAVIOUR_FILE) for folder in folders]
    work = [(name, text, arm) for name, of in texts.items() for text, arm in of.values()]
    done: dict[str, list[list[Run]]] = {name: [] for name in texts}
    leave = Event()  # nobody waits for a sandbox any more

    def run(job: tuple[str, str, int]) -> list[Run]:
        name, text, arm = job
        if not further[name]:
            return []
        return outlasting(bound(runs_on, boxes[arm], views[name][0], text, further[name]), leave.wait)

    with ThreadPoolExecutor(max_workers=cores()) as pool:
        try:
            for number, (job, runs) in enumerate(zip(work, pool.map(run, work), strict=True), start=1):
                done[job[0]].append(runs)
                if observer is not None:
                    observer(number, len(work))
        except BaseException:
            leave.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            for box in boxes:
                if isinstance(box, CachedSandbox) and box is not sandbox:
                    box.release()
    found = {}
    for name, each in done.items():
        view, strict = views[name]
        found[name] = _numbered(alike(each, text=isinstance(view.interface, Stdin), strict=strict))
    return found


def _spreads(arm: str, which: Programs, written: Mapping[str, Sequence[Written]], count: int) -> Iterator[Spread]:
    """Yield every measure of a search's programs, all problems having at least `count`."""
    for equality in get_args(Equality):
        rows = [_by_class(problem, of, which, equality, count) for problem, of in written.items()]
        yield from _means(arm, which, equality, rows)
    yield from _means(arm, which, None, [_by_program(problem, of, count) for problem, of in written.items()])


def _means(
    arm: str, which: Programs, equality: Equality | None, rows: Sequence[Mapping[str, float | None]]
) -> Iterator[Spread]:
    for measure in rows[0]:
        values = np.array([value for row in rows if (value := row[measure]) is not None])
        if len(values):
            interval = bootstrap_interval(values) if len(values) > 1 else (float(values[0]), float(values[0]))
            yield Spread(arm, which, equality, measure, float(values.mean()), interval, len(values))


def _by_class(
    problem: str, written: Sequence[Written], which: Programs, equality: Equality, count: int
) -> dict[str, float | None]:
    classes = [one.classes[equality] for one in written]
    rng = np.random.default_rng(keys.key("diversity", problem))
    some = subsets(len(classes), count, rng, draws=_DRAWS)
    return {
        "da": da_at_k(classes, count),
        "ea": float(np.mean([effective_algorithms([classes[place] for place in places]) for places in some])),
        "nauadc": nauadc(classes, count),
        "distinct": float(distinct_k(classes, count)),
        "utility": utility_k(classes, [float(one.passed) for one in written], count) if which == "all" else None,
    }


@lru_cache(maxsize=4096)
def _distance(one: Shape, other: Shape) -> float | None:
    """Return the distance of two programs; pairs come again among all programs and among right or wrong ones."""
    return normalised_distance(one, other)


def _by_program(problem: str, written: Sequence[Written], count: int) -> dict[str, float | None]:
    rng = np.random.default_rng(keys.key("diversity", problem))
    shapes = [shape_of(one.program) for one in written]
    # what does not parse has one subtree, its text, and so is like its copies alone
    alike_as = similarity(
        [
            Counter([one.program.encode("utf-8", "surrogatepass")]) if shape is None else shape.subtrees
            for one, shape in zip(written, shapes, strict=True)
        ]
    )
    some = subsets(len(written), count, rng, draws=_DRAWS)
    exact = [shape_of(one.program, constants=True) for one in written]
    pairs = list(combinations([shape for shape in exact if shape is not None], 2))
    if len(pairs) > _PAIRS:
        pairs = [pairs[place] for place in sorted(rng.choice(len(pairs), size=_PAIRS, replace=False))]
    distances = [d for one, other in pairs if (d := _distance(one, other)) is not None]
    return {
        "vendi": float(np.mean([vendi_score(alike_as[np.ix_(places, places)]) for places in some])),
        "ast_distance": float(np.mean(distances)) if distances else None,
    }
