"""The page as a file: nothing in it that runs but its own script, whatever the run holds."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import zlib
from base64 import b64decode, b64encode
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import looked_at
import pytest
from typer.testing import CliRunner

import mars2_env
from mars2_env.cli.main import app
from mars2_env.view.page import built, json_block, names_of, page, page_of
from mars2_env.view.runs import all_made, open_run

BUILT = ("LICENSES.txt", "viewer.css", "viewer.js")


class Reader(HTMLParser):
    """Reads a page as a browser does: which elements it has, and what is in its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.metas: dict[str, str] = {}
        self.title = ""
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]
        self._open = tag
        if tag == "script":
            self.scripts.append((given, ""))
        if tag == "meta":
            self.metas[given.get("http-equiv") or given.get("name") or ""] = given.get("content") or ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            given, before = self.scripts[-1]
            self.scripts[-1] = given, before + data
        elif self._open == "title":
            self.title += data

    def data(self, name: str) -> Any:
        """The data of a block."""
        ((given, text),) = [one for one in self.scripts if one[0].get("id") == f"data-{name}"]
        if given["type"] == "application/json":
            return json.loads(text)
        return json.loads(zlib.decompress(b64decode(text), -15))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return looked_at.grown(
        folder / "x",
        count=2,
        budget=6,
        text=lambda turn: f"'''{looked_at.HOSTILE}'''\nprint('two')  # {turn.seed % 3}",
        prefix=looked_at.HOSTILE + "/",
        statement=looked_at.HOSTILE,
        agents={"coder": looked_at.HOSTILE, "fixer": ""},
    )


@pytest.fixture(scope="module")
def read(run: Path) -> Reader:
    return Reader(page([open_run(run)]).decode())


def test_a_page_of_hostile_texts_has_its_own_elements_and_no_others(read: Reader) -> None:
    assert set(read.tags) == {"html", "head", "meta", "title", "style", "body", "noscript", "script"}
    assert read.handlers == []
    running = [given for given, _ in read.scripts if "type" not in given]
    assert running == [{}]
    assert {given.get("type") for given, _ in read.scripts} == {None, "application/json"}


def test_the_data_of_a_page_is_what_was_made_of_the_log(run: Path, read: Reader) -> None:
    made = list(all_made(open_run(run)))
    assert read.data("index")["runs"][0]["trees"] == json.loads(json_block([one.summary for one in made]))
    for place, one in enumerate(made):
        tree = read.data(f"tree-0-{place}")
        assert tree == json.loads(json_block(one.tree))
        assert looked_at.HOSTILE in tree["problem"]["statement"]


def test_data_cannot_end_its_block() -> None:
    text = json_block({"</script>": "<!--<script>]]>&amp;"})
    assert not set(b"<>&") & set(text)
    assert json.loads(text) == {"</script>": "<!--<script>]]>&amp;"}


def test_the_policy_of_a_page_lets_its_own_script_run_and_nothing_else(read: Reader) -> None:
    rules = dict(one.partition(" ")[::2] for one in read.metas["Content-Security-Policy"].split("; "))
    ((_, script),) = [one for one in read.scripts if "type" not in one[0]]
    hashed = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{hashed}'"
    assert rules["trusted-types"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "connect-src" not in rules
    assert "unsafe" not in read.metas["Content-Security-Policy"]
    assert read.metas["referrer"] == "no-referrer"


def test_the_script_makes_no_markup_of_texts_and_asks_no_other_host() -> None:
    script = built("viewer.js")
    for way in ("dangerouslySetInnerHTML=", "document.write", "insertAdjacentHTML", "new Function", "eval("):
        assert way not in script
    assert not re.findall(r"(?:fetch|WebSocket|XMLHttpRequest|importScripts)\(", script)
    assert not re.search(r"url\((?!data:)", built("viewer.css"))
    assert "</script" not in script.lower()
    assert "</style" not in built("viewer.css").lower()


def test_a_large_page_has_its_trees_compressed(run: Path) -> None:
    trees = [list(all_made(open_run(run)))]
    plain, packed = (page_of("x", {}, trees, compressed_from=size) for size in (10**9, 0))
    assert Reader(packed.decode()).data("tree-0-1") == Reader(plain.decode()).data("tree-0-1")
    assert len(packed) < len(plain)


def test_the_same_run_makes_the_same_page(run: Path) -> None:
    assert page([open_run(run)]) == page([open_run(run)])


def test_a_page_holds_no_test_but_the_public_ones_and_no_path_of_this_machine(tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "x", count=1, budget=4)
    text = page([open_run(tmp_path / "x")]).decode()
    assert "SECRET" not in text
    assert str(tmp_path) not in text


def test_two_runs_are_in_one_page(run: Path, tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "y", count=1, budget=3)
    read = Reader(page([open_run(run), open_run(tmp_path / "y")]).decode())
    assert [one["name"] for one in read.data("index")["runs"]] == ["x", "y"]
    assert read.data("tree-1-0")["problem"]["id"] == "words/0"
    assert read.title == "x and y - mars2"


def test_two_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path) -> None:
    looked_at.grown(tmp_path / "other" / "x", count=1, budget=3)
    runs = [open_run(run), open_run(tmp_path / "other" / "x")]
    assert names_of(runs) == [f"{run.parent.name}/x", "other/x"]
    assert names_of([runs[0], runs[0]]) == [f"{run.parent.name}/x (1)", f"{run.parent.name}/x (2)"]


def test_the_command_writes_the_page_where_it_is_told_and_else_into_the_run(run: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["view", str(run), "--no-open"])
    assert done.exit_code == 0, done.output
    assert (run / "view.html").read_bytes() == page([open_run(run)])
    done = runner.invoke(app, ["view", str(run), "--export", str(tmp_path / "new" / "y.html"), "--no-open"])
    assert done.exit_code == 0
    assert (tmp_path / "new" / "y.html").read_bytes() == (run / "view.html").read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--live", "--export", "x.html"], "--live with --export"),
        (["--port", "8000"], "nothing is served without --live"),
        (["--hidden"], "mars2 evaluate"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], said: str, run: Path) -> None:
    done = CliRunner().invoke(app, ["view", str(run), *options])
    assert done.exit_code != 0
    assert said in str(done.exception)


@pytest.mark.browser
def test_what_is_built_is_what_the_sources_make(repository: Path, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs Node (Debian: apt-get install nodejs npm)")
    viewer = repository / "viewer"
    if not (viewer / "node_modules" / "esbuild").is_dir():
        pytest.skip("needs the viewer's packages (run `make viewer`)")
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=viewer, check=True, env={**os.environ})
    assert sorted(file.name for file in tmp_path.iterdir()) == list(BUILT)
    for name in BUILT:
        assert (tmp_path / name).read_bytes() == (repository / "mars2_env" / "view" / "built" / name).read_bytes(), name


def test_the_licences_of_all_that_is_bundled_are_beside_it(repository: Path) -> None:
    bundled = json.loads((repository / "viewer" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    text = built("LICENSES.txt")
    for name, version in bundled.items():
        assert f"{name} {version} (" in text
    assert text.count("Permission") >= 4


class Frames(HTMLParser):
    """Reads the attributes of the last frame of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "iframe":
            self.attributes = dict(attrs)


def test_a_notebook_shows_a_tree_in_a_frame_that_can_reach_nothing(run: Path) -> None:
    tree = mars2_env.read_log(run)[0]
    html = tree._repr_html_()
    frame = Frames(html).attributes
    assert frame["sandbox"] == "allow-scripts"
    inner = Reader(frame["srcdoc"] or "")
    assert inner.data("index")["runs"][0]["trees"][0]["nodes"] == len(tree.nodes)
    assert inner.data("tree-0-0")["events"][0]["why"]
    assert "as a list" in html


def test_a_notebook_keeps_no_more_than_so_much_of_a_tree(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mars2_env.view.notebook.MOST", 1000)
    tree = mars2_env.read_log(run)[0]
    html = tree._repr_html_()
    assert not Frames(html).attributes
    assert html.startswith("<div>")
