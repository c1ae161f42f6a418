"""The order of the site's pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from mars2_env.tasks import GAMES

ORDER: Final[dict[str, list[str]]] = {
    "Start": ["index.md", "install.md", "learn.md", "notebooks/*", "examples/*"],
    "Search": ["guide.md", "search.md", "problems.md", "replies.md", "results.md", "viewer.md", "gallery.md"],
    "Agents": [
        "models.md",
        "transformers.md",
        "vllm.md",
        "openai.md",
        "stages.md",
        "teams.md",
        "engine.md",
        "parts.md",
    ],
    "Environments": [
        "environments.md",
        "tasks.md",
        *(f"games/{game}.md" for game in GAMES),
        "games/*",
        "bank.md",
        "consumers/README.md",
        "consumers/*",
    ],
    "Training": ["train.md", "training.md", "reward_model.md"],
    "Evidence": [
        "maths.md",
        "benchmark.md",
        "harness.md",
        "leaderboard.md",
        "reproduce.md",
        "experiments.md",
        "replication.md",
        "performance.md",
    ],
    "Safety": ["threat_model.md", "sandbox.md", "security.md"],
    "Project": ["contributing.md", "changelog.md"],
    "Reference": ["api/names.md", "api/mars2_env*", "api/*"],
}
"""Section -> its pages; a star stands for all pages that begin so and are not named elsewhere."""


def sections(pages: Iterable[str]) -> dict[str, list[str]]:
    """Return section -> its pages in order; those that no section takes stand in a last one, "More"."""
    left = sorted(pages)
    named = {page for wanted in ORDER.values() for page in wanted}
    found: dict[str, list[str]] = {}
    for section, wanted in ORDER.items():
        found[section] = []
        for want in wanted:
            taken = [page for page in left if page == want or (page not in named and _begins(page, want))]
            found[section] += taken
            left = [page for page in left if page not in taken]
    return found | ({"More": left} if left else {})


def _begins(page: str, want: str) -> bool:
    return want.endswith("*") and page.startswith(want.removesuffix("*"))


def title(text: str, page: str) -> str:
    """Return the first heading of a page, without marks; its file's name where there is none."""
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    return re.sub(r"[`*]", "", heading[1]) if heading else Path(page).stem


def as_toml(pages: Mapping[str, str]) -> str:
    """Return the value of `nav`: page -> text, in sections."""
    lines = []
    for section, names in sections(pages).items():
        inside = ", ".join(f"{{{_text(title(pages[name], name))} = {_text(name)}}}" for name in names)
        lines.append(f"  {{{_text(section)} = [{inside}]}},")
    return "[\n" + "\n".join(lines) + "\n]"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # JSON's texts are TOML's
