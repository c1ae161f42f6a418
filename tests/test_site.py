"""The site: every page, game, environment and public name has its place there, and every link leads somewhere."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from mars2_bench.suite.named import NAMED
from pages import anchors, links

import mars2_env
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.tasks import GAMES, TASKS

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "scripts"))

from docs_site.gallery import recorded  # noqa: E402
from docs_site.laying import lay, plain, texts  # noqa: E402
from docs_site.links import led  # noqa: E402
from docs_site.navigation import sections  # noqa: E402
from docs_site.reference import modules, places  # noqa: E402


@cache
def site() -> dict[str, str]:
    return texts(REPOSITORY)


def test_every_page_of_the_docs_is_on_the_site_once() -> None:
    docs = {page.relative_to(REPOSITORY / "docs").as_posix() for page in (REPOSITORY / "docs").rglob("*.md")}
    listed = [page for pages in sections(site()).values() for page in pages]
    assert docs <= set(site())
    assert sorted(listed) == sorted(site())


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    lay(REPOSITORY, folder)
    return folder / "pages"


def test_every_link_leads_to_a_page_and_heading_of_the_site(laid: Path) -> None:
    known = {place.partition("#")[2] for place in places(REPOSITORY).values()}
    for name in site():
        for link in links(laid / name):
            if re.match(r"[a-z]+:", link):
                continue
            page, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), page)) if page else name
            assert target in site() or target in recorded(REPOSITORY), f"{name}: ({link}) leads nowhere"
            assert not anchor or anchor in anchors(laid / target) | known, f"{name}: ({link}): no such heading there"


@pytest.mark.parametrize("game", GAMES)
def test_the_page_of_a_game_is_the_docstring_of_its_class(game: str) -> None:
    page = site()[f"games/{game}.md"]
    described = mars2_env.envs.TreeSearchRoute if game == "route" else mars2_env.envs.TreeSearchAEC
    assert str(described.__doc__).partition("\n")[0] in page
    assert "**Action space.**" in page


@pytest.mark.parametrize("id", [*TASKS, *NAMED])
def test_the_page_of_an_environment_has_its_spaces_and_options(id: str) -> None:
    page = site()[f"games/{id.removeprefix('mars2/')}.md"]
    task = mars2_env.task(id) if id in TASKS else NAMED[id].task()
    env = mars2_env.make(task, sandbox=ScriptedSandbox())
    space = env.action_space if task.api == "gymnasium" else env.action_space(env.possible_agents[0])
    assert f'mars2_env.make("{id}")' in page
    assert f"{len(task.problems)}, for training" in page
    assert f"| action | `{space}` |" in page
    if task.rules.game in ("place", "route"):
        seen = env.observation_space if task.api == "gymnasium" else env.observation_space(env.possible_agents[0])
        assert f"## The vector, {seen['observation'].shape[0]} numbers" in page and "slotI.score" in page


def test_every_public_name_and_every_module_is_in_the_reference() -> None:
    for name in set(mars2_env.__all__) - {"__version__"}:
        assert f"| [`{name}`]" in site()["api/names.md"]
    described = re.findall(r"^::: (\S+)$", "\n".join(site().values()), re.MULTILINE)
    assert sorted(described) == sorted(modules(REPOSITORY))


def test_what_is_no_page_is_a_link_only_where_the_repository_can_be_looked_at() -> None:
    text = "see [the `Makefile`](../Makefile), `[no](link.md)` and [search](search.md#speed)"
    places = {"docs/search.md": "search.md"}
    nowhere = led(text, "docs/a.md", "a.md", places, None)
    assert nowhere == "see the `Makefile`, `[no](link.md)` and [search](search.md#speed)"
    somewhere = led(text, "docs/a.md", "sub/a.md", places, "https://example.org/us/mars2/")
    assert "[the `Makefile`](https://example.org/us/mars2/blob/main/Makefile)" in somewhere
    assert "[search](../search.md#speed)" in somewhere


def test_a_link_to_a_function_in_a_source_leads_to_its_docstring() -> None:
    assert "[`descend`](api/mars2_env.search.md#mars2_env.search.ab_mcts.descend)" in site()["maths.md"]
    assert "[`score_of`](api/mars2_env.episode.md#mars2_env.episode.rules.Rules)" in site()["maths.md"]


def test_marks_of_tests_and_escaped_bars_are_not_shown() -> None:
    assert plain("<!-- test: exact -->\n```console\n") == "```console\n"
    assert plain("| `a\\|b` | c |\n\nd \\| e") == "| `a|b` | c |\n\nd \\| e"


RECORDED = [run for runs in recorded(REPOSITORY).values() for run in runs]


@pytest.mark.parametrize("run", RECORDED, ids=lambda run: run.name)
def test_a_recorded_tree_of_the_gallery_is_finished_and_replays(run: Path) -> None:
    for tree in mars2_env.read_log(run):
        assert tree.ended is not None
        assert mars2_env.replay(tree) == tree


def test_a_recorded_run_is_a_page_of_the_viewer_in_a_frame(laid: Path) -> None:
    for name, runs in recorded(REPOSITORY).items():
        assert f'src="{name}"' in site()["gallery.md"]
        page = (laid / name).read_text(encoding="utf-8")
        assert "default-src 'none'" in page
        assert all(tree.problem in page for run in runs for tree in mars2_env.read_log(run))


@pytest.mark.slow
def test_the_site_builds_without_the_network_and_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    build = [REPOSITORY / "scripts" / "docs.sh", tmp_path]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PYTHON"] = sys.executable
    # the first run may install Zensical and mkdocstrings; the second one builds, and nothing else
    subprocess.run(build, check=True, env=environment, stdin=subprocess.DEVNULL)
    alone = [shutil.which("unshare"), "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    subprocess.run([*alone, *build], check=True, env=environment, stdin=subprocess.DEVNULL)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(site())
    for page in pages:
        asked = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?([^\s\">]+)", page.read_text(encoding="utf-8"))
        asked += re.findall(r"<link[^>]*stylesheet[^>]* href=\"?([^\s\">]+)", page.read_text(encoding="utf-8"))
        assert not [address for address in asked if re.match("[a-z]+:|//", address)], page
