"""Building the bank: which slip of each family is taken, and what every combination comes to in a real sandbox.

The programs of one problem run together, as calls of one program that holds them all: each run has fresh inputs, and on
standard input a fresh module and streams of its own. What they return is compared by the judge, as always. That takes a
hundredth of the time of a process for each run; a test judges entries again by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Final

import mars2_env
from mars2_bench.suite.bank import LETTERS, MOST_SLIPS, Bank, Entry, Header
from mars2_env import Judge, Problem, Sandbox
from mars2_env.errors import ConfigError
from mars2_env.prompt.programs import normal_form
from mars2_env.sandbox.base import STDIN
from mars2_env.sandbox.worker.values import encode
from mars2_env.testing.mutation import Reference, families
from mars2_env.types import Call, Interface, Limits, Run, Verdict

SPLITS: Final = ("train", "test")
CANDIDATES: Final = 6
"""How many slips of a family are tried, spread evenly over its places."""

LIMITS: Final = Limits(wall_seconds=120.0)
"""Longer in wall time than the problems' own: a busy machine decides nothing here."""

Slip = tuple[int, int]
"""Number of the site, number of the variant there."""

MOST_LINES: Final = 200_000
"""Lines that a run may take; one that takes more ends its program, without the runs on its other inputs. Counting them
tells loops that never end from long ones in the same way on every machine, where a clock would not.
"""

_TOGETHER: Final = """\
import io
import sys


class TooLongError(BaseException):
    pass


CODES = [compile(text, "program.py", "exec") for text in {texts!r}]
NAME = {name!r}
MODULES = {{}}
GIVEN_UP = set()
left = 0


def count(frame, event, argument):
    global left
    left -= 1
    if left < 0:
        raise TooLongError
    return count


def run_on(number, given):
    global left
    if number in GIVEN_UP:
        raise TooLongError
    left = {lines!r}
    sys.settrace(count)
    try:
        return played(number, given)
    finally:
        sys.settrace(None)
        if left < 0:
            GIVEN_UP.add(number)


def played(number, given):
    if NAME is not None:
        if number not in MODULES:
            MODULES[number] = {{"__name__": "__main__"}}
            exec(CODES[number], MODULES[number])
        return MODULES[number][NAME](*given)
    before, written = sys.stdout, io.StringIO()
    sys.stdin, sys.stdout = io.StringIO(given), written
    try:
        exec(CODES[number], {{"__name__": "__main__"}})
    finally:
        sys.stdout = before
    return written.getvalue()
"""


@dataclass(frozen=True)
class _Ran:
    """Runs of one program, found by their inputs."""

    runs: Mapping[bytes, Run]

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Yield the run on each input."""
        return (self.runs[encode(given)] for given in inputs)


def verdicts(sandbox: Sandbox, problem: Problem, programs: Sequence[str]) -> list[Verdict]:
    """Return what each program of a problem comes to on all its tests, run together (see above)."""
    called = problem.interface.name if isinstance(problem.interface, Call) else None
    given = {
        encode(case.input): case.input for group in ("public", "scoring", "hidden") for case in problem.tests(group)
    }
    together = _TOGETHER.format(texts=list(programs), name=called, lines=MOST_LINES)
    inputs = [[number, value] for number in range(len(programs)) for value in given.values()]
    ran = sandbox.run(together, inputs, interface=Call("run_on"), limits=LIMITS)
    runs = iter([replace(run, status="time_limit") if "TooLongError" in run.error_type else run for run in ran])
    found = [_Ran({key: next(runs) for key in given}) for _ in programs]
    return [Judge(ran).grade(problem, text, "all", "never") for ran, text in zip(found, programs, strict=True)]


def letters(verdict: Verdict) -> str | None:
    """Return a verdict as the bank has it, a letter for each test; None if some run reached a limit."""
    if any(outcome not in LETTERS for outcome in verdict.outcomes):
        return None
    return "".join(LETTERS[outcome] for outcome in verdict.outcomes)


def candidates(reference: Reference) -> dict[str, list[Slip]]:
    """Return the slips to be tried, by family: at most `CANDIDATES` each."""
    found = {}
    for family, sites in families(reference.sites).items():
        slips = [(site.number, variant) for site in sites for variant in range(len(site.variants))]
        count = min(CANDIDATES, len(slips))
        found[family] = [slips[at * len(slips) // count] for at in range(count)]
    return found


def preference(score: float) -> float:
    """Return how gladly a slip is taken, by the share of scoring tests that it leaves: the least is the best.

    Partial scores first, the nearest to one half; then those that leave nothing.
    """
    return abs(score - 0.5) if score > 0 else 1.0


def compatible(reference: Reference, slips: Iterable[Slip]) -> bool:
    """Whether each two of the slips can be seen beside each other in a program."""
    return all(reference.slips(reference.write(dict(pair))) == dict(pair) for pair in combinations(slips, 2))


def chosen(reference: Reference, rated: Mapping[str, Mapping[Slip, float]]) -> dict[str, Slip]:
    """Return one slip for each family, at most `MOST_SLIPS`, all compatible.

    Args:
        reference: the reference program.
        rated: for each family the slips that change something and reach no limit, and the score that each leaves.
    """
    ordered = {
        family: sorted(slips, key=lambda slip: (preference(slips[slip]), slip))
        for family, slips in rated.items()
        if slips
    }
    best_first = sorted(ordered, key=lambda family: (preference(rated[family][ordered[family][0]]) >= 1.0, family))
    taken: dict[str, Slip] = {}
    for family in best_first:
        for slip in ordered[family]:
            if len(taken) < MOST_SLIPS and compatible(reference, [*taken.values(), slip]):
                taken[family] = slip
                break
    return dict(sorted(taken.items()))


def entry_of(sandbox: Sandbox, problem: Problem) -> Entry:
    """Return the entry of a problem.

    Raises:
        ConfigError: no slip of its reference program can be taken.
    """
    reference = Reference(problem.reference or "")
    tried = [(family, slip) for family, slips in candidates(reference).items() for slip in slips]
    singles = verdicts(sandbox, problem, [reference.write(dict([slip])) for _, slip in tried])
    rated: dict[str, dict[Slip, float]] = {family: {} for family, _ in tried}
    for (family, slip), verdict in zip(tried, singles, strict=True):
        fraction = verdict.group("scoring").fraction
        if letters(verdict) is not None and fraction is not None and fraction < 1.0:
            rated[family][slip] = fraction
    taken = chosen(reference, rated)
    while taken:
        slips = list(taken.values())
        programs = [
            reference.write({site: variant for bit, (site, variant) in enumerate(slips) if mask >> bit & 1})
            for mask in range(1 << len(slips))
        ]
        found = [letters(verdict) for verdict in verdicts(sandbox, problem, programs)]
        if set(found[0] or "none") != {LETTERS["passed"]}:
            raise ConfigError(f"{problem.id}: its reference program came to {found[0]}, and is to pass every test.")
        limited = [mask for mask, text in enumerate(found) if text is None]
        alone = len({normal_form(program) for program in programs}) == len(programs)
        if not limited and alone:
            return Entry(problem.id, tuple(taken), tuple(slips), "".join(text or "" for text in found))
        # the family that takes part in most of the combinations that cannot be kept
        worst = max(range(len(slips)), key=lambda bit: sum(mask >> bit & 1 for mask in limited))
        del taken[list(taken)[worst]]
    raise ConfigError(f"{problem.id}: no slip of its reference program fails a test without reaching a limit.")


def build(
    sandbox: Sandbox, *, threads: int = 2, problems: int | None = None, told: Callable[[int, int], None] | None = None
) -> Bank:
    """Build the bank of the starter set.

    Args:
        sandbox: where programs run.
        threads: how many problems are worked on at a time.
        problems: how many problems of each split; None: all.
        told: called with how many problems are done, and how many there are.

    Returns:
        The bank: the same one from every sandbox that runs Python as this one does.
    """
    sets = {split: mars2_env.load_problems("starter", split=split) for split in SPLITS}
    found = [problem for one in sets.values() for problem in one.problems[:problems]]
    tests = {tuple(len(problem.tests(group)) for group in ("public", "scoring", "hidden")) for problem in found}
    if len(tests) != 1:
        raise ConfigError(f"the problems of the bank have the same number of tests in each group, not {sorted(tests)}.")
    entries = []
    with ThreadPoolExecutor(threads) as pool:
        for entry in pool.map(lambda problem: entry_of(sandbox, problem), found):
            entries.append(entry)
            if told is not None:
                told(len(entries), len(found))
    hashes = {split: one.hash for split, one in sets.items()}
    public, scoring, hidden = tests.pop()
    header = Header(hashes, (public, scoring, hidden), sandbox.identity, mars2_env.__version__)
    return Bank(header, tuple(entries))
