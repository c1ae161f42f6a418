"""Results of one's own, checked and packed as a pull request takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from mars2_bench.harness.board import SEEDS, board
from mars2_bench.harness.results import BUDGETS, Result, encoded, files_in, path_of
from mars2_bench.harness.verifying import verify
from mars2_env.base.journal import refusing
from mars2_env.errors import LogError

SCHEMA: Final = "mars2-bench-submission/1"
RESULTS: Final = Path("benchmarks/results")
"""Where the project keeps results."""

ABOUT: Final = Path("benchmarks/submissions")
"""Where it keeps what those who submit say of them."""


class About(msgspec.Struct, frozen=True):
    """What whoever submits says.

    Attributes:
        author: who.
        code: where the algorithm's code is: a URL, with the commit.
        note: what else there is to say, on how settings were found for one.
        digests: of the results.
        schema: of this file.
    """

    author: str
    code: str
    note: str
    digests: tuple[str, ...]
    schema: str = SCHEMA


def checked(folder: Path) -> list[Result]:
    """Return the results of a folder, all of which may be on the board.

    Raises:
        LogError: a file does not stand the check, a seed is missing, or a budget is none of `BUDGETS`.
    """
    found = []
    for path, result, trouble in verify(files_in(folder)):
        if trouble or result is None:
            raise LogError(trouble if str(path) in trouble else f"{path}: {trouble}")
        if result.budget not in (0, *BUDGETS):
            allowed = ", ".join(f"{budget:,}" for budget in BUDGETS)
            raise LogError(f"{path}: a budget of {result.budget:,}; the board has {allowed}.")
        found.append(result)
    for table in board(found, {}):
        for row in table.rows:
            if not row.reference and row.seeds[:SEEDS] != tuple(range(SEEDS)):
                raise LogError(
                    f"{table.id} {row.algorithm} {row.budget:,}: it has the seeds {list(row.seeds)}, and a row of the "
                    f"board needs 0 to {SEEDS - 1}; run the others."
                )
    return found


def pack(results: Sequence[Result], about: About, out: Path) -> list[Path]:
    """Write results where a clone of the project has them, and beside them what is said of them.

    Args:
        results: from `checked`.
        about: what is said; its digests are filled in.
        out: a folder that is laid out as the project is: copied over a clone, it is the pull request.

    Raises:
        LogError: a file cannot be written, or is there and says something else.
    """
    names = sorted({result.algorithm.name for result in results})
    said = msgspec.structs.replace(about, digests=tuple(sorted(result.digest() for result in results)))
    texts = {out / ABOUT / f"{'+'.join(names)}.json": msgspec.json.format(msgspec.json.encode(said), indent=1) + b"\n"}
    for result in results:
        path = path_of(out / RESULTS, result.id, result.algorithm.name, result.budget, result.seed)
        texts[path] = encoded(result)
    for path, text in texts.items():
        if path.exists() and path.read_bytes() != text:
            raise LogError(f"{path} is there and says something else; pack into an empty folder.")
        with refusing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)
    return list(texts)
