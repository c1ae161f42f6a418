"""The site's pages, gathered from the repository and laid into a folder with a configuration for Zensical."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Final

from docs_site import gallery
from docs_site.games import game_pages
from docs_site.links import led
from docs_site.navigation import as_toml
from docs_site.notebooks import page as notebook_page
from docs_site.reference import names_page, package_pages, places

MARK: Final = re.compile(r"^<!-- (?:test: [a-z ]+|begin of .*|end of .*) -->\n", re.MULTILINE)
ROW: Final = re.compile(r"^\|.*\|$", re.MULTILINE)
CODE: Final = re.compile(r"`[^`]+`")
BESIDE: Final = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}
"""Pages beside `docs/` -> their names on the site."""


def homes(repository: Path) -> dict[str, str]:
    """Return path in the repository -> path on the site, of every page that is written by hand or is an example."""
    docs = {file: file.relative_to(repository / "docs") for file in sorted((repository / "docs").rglob("*.md"))}
    found = {file.relative_to(repository).as_posix(): home.as_posix() for file, home in docs.items()}
    found |= {path: home for path, home in BESIDE.items() if (repository / path).is_file()}
    for path in sorted((repository / "examples").glob("*.py")):
        found[path.relative_to(repository).as_posix()] = f"examples/{path.stem}.md"
    for path in sorted((repository / "examples" / "notebooks").glob("*.ipynb")):
        found[path.relative_to(repository).as_posix()] = f"notebooks/{path.stem}.md"
    return found


def texts(repository: Path, repository_url: str | None = None) -> dict[str, str]:
    """Return page on the site -> Markdown, of all pages.

    Args:
        repository: its folder.
        repository_url: where the repository can be looked at, for links to files that are no pages; None: nowhere.
    """
    where = homes(repository)
    known = {**places(repository), **gallery.places(repository), **where, "README.md": "index.md"}
    found = {}
    for path, home in where.items():
        text = _text(repository / path)
        found[home] = gallery.framed(led(plain(text), path, home, known, repository_url))
    return found | game_pages() | package_pages(repository) | {"api/names.md": names_page()}


def plain(text: str) -> str:
    """Return a page without the marks of its tests, and with bars in a table's code as Python-Markdown reads them."""
    return ROW.sub(lambda row: CODE.sub(lambda code: code[0].replace("\\|", "|"), row[0]), MARK.sub("", text))


def _text(file: Path) -> str:
    if file.suffix == ".ipynb":
        return notebook_page(file)
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return f"# {file.name}\n\n```python\n{text}```\n"
    return text


def lay(repository: Path, folder: Path) -> None:
    """Write the pages into `folder/pages` and the configuration beside them; what was there goes.

    Args:
        repository: the repository's folder.
        folder: where to; the built site will stand in `folder/site`.
    """
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    urls = project.get("urls", {})
    pages = texts(repository, urls.get("Repository"))
    shutil.rmtree(folder / "pages", ignore_errors=True)
    for name, text in pages.items():
        target = folder / "pages" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    for name, runs in gallery.recorded(repository).items():
        target = folder / "pages" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gallery.shown(runs))
    for file in (repository / "docs").rglob("*.*"):
        if file.suffix in {".png", ".svg", ".css"}:
            target = folder / "pages" / file.relative_to(repository / "docs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    settings = (Path(__file__).with_name("zensical.toml")).read_text(encoding="utf-8")
    sources = ", ".join(f'"{repository / parent}"' for parent in (".", "agents", "benchmarks"))
    settings = settings.replace('"@nav@"', as_toml(pages)).replace('"@sources@"', sources)
    (folder / "zensical.toml").write_text(settings, encoding="utf-8")
