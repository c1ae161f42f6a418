"""The board as Markdown, as JSON and as a picture: the same files from the same results, to the byte."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from mars2_bench.harness.board import SEEDS, THRESHOLDS, Row, Table
from mars2_bench.harness.pictures import draw
from mars2_bench.harness.statistics import DRAWS, Comparison
from mars2_env.base.journal import refusing
from mars2_env.errors import ConfigError

SCHEMA: Final = "mars2-bench-report/1"

ORACLE: Final = "oracle"
"""The reference that no controller can be expected to reach."""

BEGIN: Final = "<!-- begin of the board: mars2 bench report writes it -->"
END: Final = "<!-- end of the board -->"

_HEAD: Final = f"""# Leaderboard

Written by `mars2 bench report` from files of results; nothing here is typed by hand. `mars2 bench verify` plays every \
episode of them again.

An algorithm learns from training problems within a budget of expansions, once for each of {SEEDS} seeds. Its final \
iterate then plays unseen problems, actions sampled, on published trees that are the same for all: comparisons are \
paired. A tree's score is the best share of scoring tests that one of its programs passes.

- Rows in *italics* learn nothing and are there to measure by; the oracle knows what controllers must find out.
- **score** is the mean over seeds, problems and trees, **IQM** the mean of the middle half of all (seed, problem) \
entries; in brackets the 95 % stratified bootstrap over problems and seeds ({DRAWS:,} resamples). **seeds** are the \
worst and best training. **solved** is the share of trees that reached 1.
- **over the next row** is the difference of mean scores: its 95 % interval resamples trainings and problems as \
wholes, in parentheses the smallest difference that these problems would show (power 0.8), then the probability that \
a run does better on a problem. A difference in bold excludes 0.
- **tries** are the settings that were tried on that environment, these included, as whoever ran it says. **CPU s** is \
what a training took on its machine; no check can confirm either.
- **division**: all rows are *replayed*, their episodes played again from the recorded actions. A row is *rerun* where \
somebody also learned again, with the seeds that are counted, and came to the same.
"""


def markdown(tables: Sequence[Table], picture: str = "") -> str:
    """Return the leaderboard's page; `picture` is the name of one beside it."""
    shown = [f"![Learning curves and performance profiles]({picture})\n"] if picture else []
    return "\n".join([_HEAD, *(_section(table) for table in tables), *shown])


def _section(table: Table) -> str:
    lines = [
        f"## {_title(table)}",
        "",
        f"{table.problems} problems, {table.trees} trees each; environment `{table.environment[:16]}`.",
        "",
        "| algorithm | budget | score | IQM | seeds | solved | over the next row | tries | CPU s | division |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for place, row in enumerate(table.rows):
        lines.append(
            f"| {_name(row)} | {budget(row.budget)} | {row.mean:.3f} {_interval(row.mean_interval)} "
            f"| {row.iqm:.3f} {_interval(row.iqm_interval)} | {_spread(row)} | {row.solved:.2f} "
            f"| {_difference(table.over_next[place]) if place < len(table.over_next) else ''} "
            f"| {row.tries} | {row.seconds:,.0f} | {_division(row)} |"
        )
    return "\n".join([*lines, ""])


def short(tables: Sequence[Table]) -> str:
    """Return what the references and the best algorithm come to on each environment, for a page about something else.

    A column is there for each reference that any environment has, the worst on average first.
    """
    columns: dict[str, list[float]] = {}
    for table in tables:
        for row in table.rows:
            if row.reference:
                columns.setdefault(row.algorithm, []).append(row.mean)
    oracle = [name for name in columns if name == ORACLE]
    names = sorted(columns.keys() - {ORACLE}, key=lambda name: (np.mean(columns[name]), name))
    lines = [
        "| environment | " + " | ".join([*names, "best that learned", *oracle]) + " |",
        "|---|" + "---|" * (len(names) + 1 + len(oracle)),
    ]
    for table in tables:
        known = {row.algorithm: f"{row.mean:.3f}" for row in table.rows if row.reference}
        learned = [row for row in table.rows if not row.reference]
        best = (
            f"{learned[0].algorithm} **{learned[0].mean:.3f}** {_interval(learned[0].mean_interval)}" if learned else ""
        )
        cells = [*(known.get(name, "") for name in names), best, *(known.get(name, "") for name in oracle)]
        lines.append(f"| {_title(table)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _title(table: Table) -> str:
    return table.id.rpartition("/")[2] + ("" if table.split == "test" else f" ({table.split})")


def budget(expansions: int) -> str:
    """Return a number of expansions in short: 200k, 1M; "-" for none."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if expansions and expansions % size == 0:
            return f"{expansions // size}{letter}"
    return f"{expansions:,}" if expansions else "-"


def _interval(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def _name(row: Row) -> str:
    return f"*{row.algorithm}*" if row.reference else row.algorithm


def _spread(row: Row) -> str:
    found = row.by_seed
    if row.reference and len(found) == 1:
        return ""
    short_of = "" if len(found) >= SEEDS else f" ({len(found)} of {SEEDS})"
    return f"{min(found):.3f} to {max(found):.3f}{short_of}"


def _difference(found: Comparison) -> str:
    low, high = found.interval
    text = f"{found.difference:+.3f}"
    text = f"**{text}**" if found.separated else text
    return f"{text} [{low:+.3f}, {high:+.3f}] ({found.detectable:.3f}), P {found.improvement:.2f}"


def _division(row: Row) -> str:
    return f"rerun ({row.reruns} of {len(row.seeds)})" if row.division == "rerun" else row.division


def encoded(tables: Sequence[Table]) -> bytes:
    """Return the board as JSON; numbers are rounded to six places."""
    said = {"schema": SCHEMA, "thresholds": THRESHOLDS.tolist(), "tables": [_plain(table) for table in tables]}
    return msgspec.json.format(msgspec.json.encode(_rounded(said)), indent=1) + b"\n"


def _plain(table: Table) -> dict[str, Any]:
    return {
        "id": table.id,
        "split": table.split,
        "environment": table.environment,
        "problems": table.problems,
        "trees": table.trees,
        "rows": [
            {
                "algorithm": row.algorithm,
                "budget": row.budget,
                "seeds": row.seeds,
                "tries": row.tries,
                "score": row.mean,
                "score_interval": row.mean_interval,
                "iqm": row.iqm,
                "iqm_interval": row.iqm_interval,
                "by_seed": row.by_seed,
                "solved": row.solved,
                "profile": row.profile.tolist(),
                "profile_band": row.profile_band.tolist(),
                "expansions": row.expansions,
                "cpu_seconds": row.seconds,
                "curve": row.curve,
                "division": row.division,
                "reruns": row.reruns,
            }
            for row in table.rows
        ],
        "over_next": [_compared(one) for one in table.over_next],
        "under_best": [_compared(one) for one in table.under_best],
    }


def _compared(found: Comparison) -> dict[str, Any]:
    return {
        "difference": found.difference,
        "interval": found.interval,
        "detectable": found.detectable if np.isfinite(found.detectable) else None,
        "improvement": found.improvement,
        "improvement_interval": found.improvement_interval,
    }


def _rounded(value: Any) -> Any:
    """Return plain data with all numbers rounded, so that machines that add in another order write the same."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def pages(tables: Sequence[Table], page: Path, readme: Path | None = None) -> dict[Path, bytes]:
    """Return what `write` writes as text; arguments and errors as there. A picture beside the page is shown on it."""
    picture = page.with_suffix(".png")
    texts = {
        page: markdown(tables, picture.name if picture.exists() else "").encode(),
        page.with_suffix(".json"): encoded(tables),
    }
    if readme is not None:
        texts[readme] = placed(readme.read_text(encoding="utf-8"), short(tables), readme).encode()
    return texts


def write(tables: Sequence[Table], page: Path, readme: Path | None = None) -> list[Path]:
    """Write the page, beside it the same as JSON and, where matplotlib is, as a picture; return what was written.

    Args:
        tables: the board.
        page: the Markdown file, such as `docs/leaderboard.md`.
        readme: a page that shows the short table between `BEGIN` and `END`; None: none does.

    Raises:
        ConfigError: the readme has no such place.
        LogError: a file cannot be written.
    """
    picture = page.with_suffix(".png")
    with refusing(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    drawn = [picture] if draw(tables, picture) else []
    texts = pages(tables, page, readme)
    for path, text in texts.items():
        with refusing(path):
            path.write_bytes(text)
    return [*texts, *drawn]


def placed(text: str, table: str, where: object = "the page") -> str:
    """Return a text with a table between `BEGIN` and `END`, in place of what stood there.

    Raises:
        ConfigError: the text has not both, once each and in this order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ConfigError(f"{where}: the board goes between the lines {BEGIN!r} and {END!r}; have each of them once.")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
