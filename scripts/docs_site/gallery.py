"""Recorded trees on the site: each run in `docs/gallery` as the viewer's own page, shown in a frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from mars2_env.view.page import page
from mars2_env.view.runs import open_run

FOLDER: Final = "docs/gallery"
OPENED: Final = re.compile(r"^\[(?P<words>[^\]]+)\]\((?P<page>gallery/[\w-]+\.html)\)$", re.MULTILINE)
RUN: Final = "run.json"


def recorded(repository: Path) -> dict[str, list[Path]]:
    """Return page on the site -> the run folder that it shows, or the two side by side.

    A folder of `docs/gallery` is a run, or holds two.
    """
    found = {}
    for folder in sorted((repository / FOLDER).glob("*/")):
        runs = [folder] if (folder / RUN).exists() else sorted(inner.parent for inner in folder.glob(f"*/{RUN}"))
        found[f"gallery/{folder.name}.html"] = runs
    return {home: runs for home, runs in found.items() if runs}


def places(repository: Path) -> dict[str, str]:
    """Return path of a folder in the repository -> page on the site."""
    return {f"{FOLDER}/{Path(home).stem}": home for home in recorded(repository)}


def shown(runs: list[Path]) -> bytes:
    """Return the viewer's page of one run, or of two side by side."""
    return page([open_run(run) for run in runs])


def framed(text: str) -> str:
    """Return a page in which every link to a recorded run that stands alone is followed by the run in a frame."""
    return OPENED.sub(
        lambda link: (
            f'{link[0]}\n\n<iframe title="{link["words"]}" src="{link["page"]}" sandbox="allow-scripts" '
            'style="width:100%;height:640px;border:1px solid #8886;border-radius:8px"></iframe>'
        ),
        text,
    )
