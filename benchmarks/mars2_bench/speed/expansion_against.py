"""One expansion on this tree and on another: the same work, in turns, in a process for each.

The work is in `expansion_work`, which both trees can do. The programs, no two of them alike, are written here
beforehand.
"""

from __future__ import annotations

import ast
import io
import json
import keyword
import os
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Final

import mars2_env
from mars2_bench.speed import expansion_work
from mars2_bench.speed.env_cost import table
from mars2_env.errors import ConfigError

LINES: Final = (15, 40)
SELECTORS: Final = ("ab_mcts_a", "mars2")
SIZES: Final = (60, 500, 2000)
SCALED: Final = ("ab_mcts_a", "mars2", "uct")
BUDGET: Final = 60
PROBLEMS: Final = 4
_TIMED: Final = 6
_HERE: Final = Path(mars2_env.__file__).resolve().parent.parent


def bodies(lines: int) -> list[str]:
    """Return programs of about so many lines: references of the starter set, as many as it takes of each."""
    references = [problem.reference or "" for problem in mars2_env.load_problems("starter")]
    found = []
    for first in range(len(references)):
        text = ""
        for reference in islice(cycle(references), first, None):
            if text.count("\n") + reference.count("\n") > lines + 2:
                break
            text += reference
        if lines - 2 <= text.count("\n"):
            found.append(text)
    return found


def renamed(program: str, number: int) -> str:
    """Return a program with the names that it binds, and its larger numbers, made its own."""
    tree = ast.parse(program)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound -= {*keyword.kwlist, *(node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword))}
    lines = program.splitlines(keepends=True)
    for token in reversed([*tokenize.generate_tokens(io.StringIO(program).readline)]):
        row, column = token.start
        end = token.end[1]
        if token.type == tokenize.NAME and token.string in bound:
            lines[row - 1] = f"{lines[row - 1][:end]}_{number}{lines[row - 1][end:]}"
        elif token.type == tokenize.NUMBER and token.string.isdigit() and int(token.string) > 9:
            lines[row - 1] = f"{lines[row - 1][:column]}{int(token.string) + number}{lines[row - 1][end:]}"
    return "".join(lines)


def varied(lines: int) -> Iterator[str]:
    """Yield programs of about so many lines, of which no two have a syntax tree, or most of a line, in common."""
    for number, body in zip(count(), cycle(bodies(lines)), strict=False):
        text = f"{renamed(body, number)}number_{number} = {number}\n"
        ast.parse(text)
        yield text


class Child:
    """A process that does the work on one tree."""

    def __init__(self, tree: Path, problems: int) -> None:
        """Start it."""
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        self._process = subprocess.Popen(
            [sys.executable, expansion_work.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=tempfile.gettempdir(),
        )
        self.ask(do="begin", package=str(tree), problems=problems)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Have something done, and return what it says of that."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise ConfigError("a process that measures ended before its time; what it said stands above.")
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@contextmanager
def tree_of(against: str) -> Iterator[Path]:
    """Give the folder of a tree: a checkout, or a commit of this one, which is checked out for as long as it is needed.

    Raises:
        ConfigError: it is neither.
    """
    if (Path(against) / "mars2_env" / "__init__.py").exists():
        yield Path(against).resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        made = _git("worktree", "add", "--detach", str(place), against)
        if made.returncode:
            said = made.stderr.strip()
            raise ConfigError(
                f"--against {against!r:.200} is neither a folder with mars2_env in it nor a commit: {said}"
            )
        try:
            yield place.resolve()
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(_HERE), *arguments], capture_output=True, text=True, check=False)


class Pair:
    """This tree and another, doing the same work in turns."""

    def __init__(self, other: Path, problems: int) -> None:
        """Start a process for each."""
        self.children = [Child(tree, problems) for tree in (other, _HERE)]
        self.problems = problems
        self._seed = count()

    def round(self, texts: Iterator[str], selector: str, budget: int) -> list[dict[str, Any]]:
        """Return what either says of the same trees: the other one first."""
        seed = next(self._seed)
        order = {"do": "time", "selector": selector, "budget": budget, "seed": seed}
        written = [*islice(texts, budget * self.problems)]
        turn = (0, 1) if seed % 2 else (1, 0)
        answers = {one: self.children[one].ask(texts=written, **order) for one in turn}
        return [answers[0], answers[1]]

    def close(self) -> None:
        """End both."""
        for child in self.children:
            child.close()


def compared(against: str, *, rounds: int, scale: bool, quick: bool = False) -> str:
    """Return the tables of both trees.

    Args:
        against: a commit, or the folder of a checkout.
        rounds: how often each of the two does each piece of work.
        scale: whether large trees are grown, too.
        quick: whether to take small trees.
    """
    budget = 6 if quick else BUDGET
    tables = []
    with tree_of(against) as other:
        pair = Pair(other, 1 if quick else PROBLEMS)
        try:
            texts = {lines: varied(lines) for lines in LINES}
            cells = [(selector, lines) for selector in SELECTORS for lines in LINES]
            for selector, lines in cells:  # warm: imports, caches
                pair.round(texts[lines], selector, budget)
            found: dict[tuple[str, int], list[list[float]]] = {cell: [] for cell in cells}
            for _ in range(rounds):
                for selector, lines in cells:
                    answers = pair.round(texts[lines], selector, budget)
                    found[selector, lines].append([1e6 * one["seconds"] / one["expansions"] for one in answers])
            tables.append(_totals(against, found, budget, rounds))
            tables += [_sizes(against, texts[LINES[0]], pair, quick)] if scale else []
            for child in pair.children:
                child.ask(do="hook")
            for lines in LINES:
                timed = [pair.round(texts[lines], SELECTORS[0], budget) for _ in range(min(rounds, _TIMED))]
                tables.append(_parts(against, lines, timed))
        finally:
            pair.close()
    return "\n".join(tables)


def _totals(against: str, found: dict[tuple[str, int], list[list[float]]], budget: int, rounds: int) -> str:
    rows = []
    for (selector, lines), pairs in found.items():
        old, new = zip(*pairs, strict=True)
        ratio = median(after / before for before, after in pairs)
        rows.append(
            (
                selector,
                lines,
                *(f"{value:.0f}" for value in (median(old), median(new), min(old), min(new))),
                f"{ratio:.2f}",
                f"{min(new) / min(old):.2f}",
            )
        )
    header = (
        "selector",
        "lines",
        f"{against}, median",
        "here, median",
        f"{against}, least",
        "here, least",
        "ratio (median of rounds)",
        "ratio of the least",
    )
    return table(f"us of CPU time an expansion, trees of {budget} nodes, {rounds} rounds", header, rows)


def _sizes(against: str, texts: Iterator[str], pair: Pair, quick: bool) -> str:
    rows = []
    for selector in SCALED:
        for size in (6, 12) if quick else SIZES:
            runs = [pair.round(texts, selector, size) for _ in range(1 if size > BUDGET else 3)]
            old, new = (min(1e6 * run[one]["seconds"] / run[one]["expansions"] for run in runs) for one in (0, 1))
            rows.append((selector, f"{size:,}", f"{old:.0f}", f"{new:.0f}", f"{new / old:.2f}"))
    header = ("selector", "nodes", against, "here", "ratio")
    return table("us of CPU time an expansion by the size of the tree, 15 lines", header, rows)


def _parts(against: str, lines: int, timed: list[list[dict[str, Any]]]) -> str:
    names = [name for name, _ in expansion_work.PARTS]
    columns = []
    for one in (0, 1):
        runs = sorted((run[one] for run in timed), key=lambda run: run["seconds"] / run["expansions"])
        least = runs[0]  # the round that was disturbed least, whole, so that its parts add up
        values = [1e6 * least["parts"][name] / least["expansions"] for name in names]
        whole = 1e6 * least["seconds"] / least["expansions"]
        columns.append([*values, whole - sum(values), whole])
    rows = [
        (name, f"{before:.1f}", f"{after:.1f}")
        for name, before, after in zip([*names, "the engine and the rest", "all, timed"], *columns, strict=True)
    ]
    return table(f"the parts of it: {SELECTORS[0]}, {lines} lines, us", ("part", against, "here"), rows)
