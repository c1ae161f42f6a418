"""The page in a real browser: what it shows, by mouse and by keys, live, large, in both colours, and under attack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Semaphore, Thread

import looked_at
import pytest
from conftest import Browser

import mars2_env
from mars2_env.log import log_files
from mars2_env.types import Reply, Turn
from mars2_env.view.live import Live
from mars2_env.view.page import page
from mars2_env.view.runs import open_run

pytestmark = pytest.mark.browser

TABS = ("program", "changes", "tests", "talk", "why", "cost")


def written(folder: Path, *runs: Path, hidden: bool = False) -> Path:
    """The page of runs, in a file."""
    file = folder / "page.html"
    file.write_bytes(page([open_run(run, hidden=hidden) for run in runs]))
    return file


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return written(folder, looked_at.grown(folder / "x", budget=16, count=3))


@pytest.fixture(autouse=True)
def nothing_went_wrong(browser: Browser) -> Iterator[None]:
    """No test ends with an error in the page, a dialog, or a request to anywhere else."""
    yield
    assert browser("troubles") == []


def at(file: Path, **place: object) -> str:
    """The address of a place in the page."""
    return f"{file.as_uri()}#" + "&".join(f"{name}={value}" for name, value in place.items())


def picture(browser: Browser, what: str) -> object:
    """Something of the first canvas's picture."""
    return browser.run(f"document.querySelector('.picture canvas').picture.{what}")


def test_the_list_shows_every_tree_and_leads_to_it(browser: Browser, file: Path) -> None:
    browser.open(file)
    assert browser.texts(".trees .name") == ["words/0", "words/1", "words/2"]
    browser.click(".trees tbody tr:nth-child(2) .name")
    assert browser.text(".top .problem") == "words/1"
    assert "problem=words%2F1" in browser.run("location.hash")
    browser.press("j")
    assert browser.text(".top .problem") == "words/2"
    browser.press("Escape")
    assert len(browser.texts(".trees .name")) == 3


def test_the_list_is_sorted_and_filtered(browser: Browser, file: Path) -> None:
    browser.open(file)
    browser.click(".c-problem button")
    assert browser.texts(".trees .name") == ["words/2", "words/1", "words/0"]
    assert browser.run("document.querySelector('.c-problem').getAttribute('aria-sort')") == "descending"
    browser.press("/")
    browser("fill", selector="#filter", text="words/1")
    assert browser.texts(".trees .name") == ["words/1"]


def test_a_node_is_chosen_by_a_click_on_the_picture_and_shows_its_program(browser: Browser, file: Path) -> None:
    browser.open(at(file, problem="words/0"))
    browser.wait("document.querySelector('.picture canvas').picture.width > 0")
    x, y = browser.run(
        "(() => { const c = document.querySelector('.picture canvas'); const s = c.picture.spot(3); "
        "const b = c.getBoundingClientRect(); return [b.left + s.x, b.top + s.y]; })()"
    )
    browser("at", x=x, y=y)
    browser.wait("document.querySelector('.heading h2').textContent.startsWith('#3')")
    assert "print('two')" in browser.text(".code")
    assert "node=3" in browser.run("location.hash")
    assert browser.run("document.querySelector('.outline .chosen').id") == "row-3"


def test_keys_alone_lead_through_the_nodes(browser: Browser, file: Path) -> None:
    browser.open(at(file, problem="words/0", node=0))
    browser.run("document.querySelector('[role=tree]').focus()")
    browser.press("ArrowDown")
    first = browser.run("document.querySelector('[role=tree]').getAttribute('aria-activedescendant')")
    assert first == "row-1"
    browser.press("End")
    last = browser.run("document.querySelector('[aria-selected=true][role=treeitem]').id")
    assert last != first
    browser.press("Home", "ArrowLeft")
    assert browser.run("document.querySelectorAll('[role=treeitem]').length") == 1
    assert browser.run("document.querySelector('#row-0').getAttribute('aria-expanded')") == "false"
    browser.press("ArrowRight", "ArrowRight")
    assert browser.text(".heading h2").startswith("#1")
    browser.press("3")
    assert browser.text("[role=tab][aria-selected=true]") == "Tests"


def test_the_slider_grows_the_tree_again(browser: Browser, file: Path) -> None:
    browser.open(at(file, problem="words/0", event=0))
    assert browser.text(".event .count") == "event 0 of 33"
    assert browser.run("document.querySelectorAll('[role=treeitem]').length") == 1
    browser.press("ArrowRight", "ArrowRight")
    assert browser.text(".event .count") == "event 2 of 33"
    assert "writes #1" in browser.text(".event .what")
    assert browser.run("document.querySelectorAll('[role=treeitem]').length") == 2
    browser.run("document.querySelector('input[type=range]').focus()")
    browser.press("End")
    browser.wait("document.querySelector('.event .count').textContent === 'event 33 of 33'")
    assert browser.run("document.querySelector('input[type=range]').getAttribute('aria-valuetext')").startswith(
        "event 33"
    )


def test_play_runs_to_the_end(browser: Browser, file: Path) -> None:
    browser.open(at(file, problem="words/1", event=28))
    browser.press("Space")
    browser.wait("document.querySelector('.event .count').textContent === 'event 33 of 33'")
    browser.wait("document.querySelector('.buttons button:nth-child(3)').getAttribute('aria-label') === 'play'")


def test_an_address_names_run_problem_event_node_and_tab(browser: Browser, file: Path) -> None:
    browser.open(at(file, problem="words/2", seed=0, event=20, node=4, tab="why"))
    assert browser.text(".top .problem") == "words/2"
    assert browser.text(".event .count") == "event 20 of 33"
    assert browser.text(".heading h2").startswith("#4")
    assert browser.text("[role=tab][aria-selected=true]") == "Why"
    browser.press("1")
    hash_ = browser.run("location.hash")
    assert "event=20" in hash_ and "node=4" in hash_ and "tab" not in hash_


@pytest.mark.parametrize(
    "hash", ["problem=nowhere", "problem=words/0&node=999&event=999", "event=x&node=-1&tab=%00", "%%%"]
)
def test_an_address_that_leads_nowhere_leads_to_something(browser: Browser, file: Path, hash: str) -> None:
    browser.open(f"{file.as_uri()}#{hash}")
    assert browser.run("document.querySelector('main') !== null")


def test_why_tells_each_stop_of_the_walk_and_marks_the_way(browser: Browser, file: Path) -> None:
    data = json.loads(re.search(r'id="data-tree-0-0">(.*?)</script>', file.read_text(encoding="utf-8")).group(1))  # type: ignore[union-attr]
    asks = [event for event in data["events"] if event["kind"] == "asked"]
    ask = next(one for one in asks if len(one["why"].get("walk", ())) > 1)
    browser.open(at(file, problem="words/0", node=ask["turn"] + 1, tab="why"))
    stops = browser.texts(".walk > li h4")
    assert len(stops) >= len(ask["why"]["walk"]) + 1
    assert stops[0].startswith("At the root")
    assert f"{ask['why']['walk'][0]['cont']['value']:.3g}" in browser.text(".walk")
    assert browser.run("document.querySelectorAll('.walk svg.curve .law').length") >= 2
    assert picture(browser, "shown.isWhy") is True


def test_tabs_show_changes_tests_conversation_and_cost(browser: Browser, file: Path) -> None:
    data = json.loads(re.search(r'id="data-tree-0-1">(.*?)</script>', file.read_text(encoding="utf-8")).group(1))  # type: ignore[union-attr]
    told = [event for event in data["events"] if event["kind"] == "told"]
    node = next(one for one in told if one["parent"] and one["program"] != told[one["parent"] - 1]["program"])
    browser.open(at(file, problem="words/1", node=node["node"], tab="changes"))
    assert browser.texts(".line.added") and browser.texts(".line.removed")
    browser.press("3")
    assert browser.texts(".strip .test")
    assert "never quoted" in browser.text(".body")
    browser.press("4")
    said = browser.text(".talk")
    assert "Print the word" in said and "Here it is:" in said
    browser.press("6")
    assert "temperature0.5" in browser.text(".body")


def test_a_reply_of_several_steps_is_a_conversation(browser: Browser, tmp_path: Path) -> None:
    run = looked_at.grown(tmp_path / "x", count=1, budget=2, writer=looked_at.Staged())
    browser.open(at(written(tmp_path, run), problem="words/0", node=1, tab="talk"))
    said = browser.texts(".said h4")
    assert said[-4:-1] == ["planner2 tokens", "public_tests250 ms", "coder1 tokens"]
    assert "replies" in said[-1]
    assert "wrong answer on test 2" in browser.text(".talk")


def test_charts_draw_curves_and_say_them_as_numbers(browser: Browser, file: Path) -> None:
    browser.open(f"{file.as_uri()}#view=charts")
    browser.wait("document.querySelectorAll('.u-over').length === 2")
    assert browser.texts(".chart figcaption")[0].startswith("Share of trees solved")
    browser.click(".charts .choice button:nth-child(2)")
    assert "tokens" in browser.text(".chart figcaption")
    browser.click(".chart details summary")
    assert len(browser.texts(".numbers tbody tr")) > 4
    assert browser.texts(".bars th[scope=row]") != []


def test_two_runs_stand_side_by_side_and_say_where_they_part(browser: Browser, tmp_path: Path) -> None:
    runs = [looked_at.grown(tmp_path / "x", budget=8), looked_at.grown(tmp_path / "y", budget=8, selector="mars2")]
    browser.open(written(tmp_path, *runs))
    assert len(browser.texts(".about h2")) == 2
    assert browser.texts(".trees tbody .c-differs") != []
    browser.click(".trees tbody tr .name")
    assert len(browser.texts(".picture .side")) == 2
    assert browser.text(".event .count") == "ask 8 of 8"
    browser.press("d")
    split = int(browser.text(".event .quiet").split()[-1])
    assert browser.text(".event .count") == f"ask {split} of 8"
    browser.press("ArrowLeft")
    sizes = browser.run(
        "[...document.querySelectorAll('.picture canvas')].map(({ picture: { shown } }) => shown.model.size[shown.at])"
    )
    assert sizes == [split, split]  # the root, and what was written before they part
    browser.press("2")
    assert "the same ask" in browser.text(".body")


def test_hidden_verdicts_are_shown_where_the_page_has_them(browser: Browser, tmp_path: Path) -> None:
    run = looked_at.grown(tmp_path / "x", count=1, budget=5)
    mars2_env.evaluate(run, sandbox=looked_at.sandbox())
    browser.open(at(written(tmp_path, run), problem="words/0", node=1))
    assert "hidden" not in browser.text(".heading")
    browser.open(at(written(tmp_path, run, hidden=True), problem="words/0", node=1))
    assert re.search("hidden tests: (passed|failed)", browser.text(".heading"))


class Gated(looked_at.Writer):
    """Writes a program whenever it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Semaphore(0)

    def act(self, turns: list[Turn]) -> list[Reply]:
        assert self.gate.acquire(timeout=60)
        return super().act(turns)


def test_a_tree_grows_in_the_page_while_a_search_runs(browser: Browser, tmp_path: Path) -> None:
    writer, run = Gated(), tmp_path / "x"
    search = Thread(
        target=looked_at.grown, args=(run,), kwargs={"count": 1, "budget": 8, "writer": writer}, daemon=True
    )
    run.mkdir()
    with closing(Live([open_run(run, begun=False)])) as live:
        Thread(target=live.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        browser.open(live.address)
        assert "Nothing has been asked yet" in browser.text("main")
        search.start()
        browser.wait("document.querySelector('.trees .name') !== null")
        browser.click(".trees .name")
        for nodes in (1, 2, 3):
            writer.gate.release()
            browser.wait(f"document.querySelectorAll('[role=treeitem]').length === {nodes + 1}")
        assert browser.text(".live") == "live"
        assert "is asked" in browser.text(".event .what")
        writer.gate.release(5)
        browser.wait("document.querySelector('.event .what').textContent.startsWith('the search ends')")
        browser.press("4")
        assert "Print the word" in browser.text(".talk")
        browser.press("Escape")
        browser.wait("document.querySelector('.trees .c-nodes .half')?.textContent === '8'")
    search.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_checker_of_accessibility_finds_nothing(browser: Browser, file: Path, scheme: str) -> None:
    browser.open(file, scheme=scheme)
    for hash in ("", "view=charts", *(f"problem=words/0&node=5&tab={tab}" for tab in TABS)):
        browser("go", hash=hash)
        browser.wait("document.querySelector('main') !== null")
        assert browser("axe") == [], hash
    browser.press("?")
    assert "Keys" in browser.text("dialog")
    assert browser("axe") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_checker_of_accessibility_finds_nothing_in_two_runs(browser: Browser, tmp_path: Path, scheme: str) -> None:
    runs = [looked_at.grown(tmp_path / "x", budget=8), looked_at.grown(tmp_path / "y", budget=8, seed_program="x = 1")]
    for run in runs:
        mars2_env.evaluate(run, sandbox=looked_at.sandbox())
    browser.open(written(tmp_path, *runs, hidden=True), scheme=scheme)
    answer = mars2_env.read_log(runs[0])[0].answer
    for hash in ("", "view=charts", *(f"problem=words/0&node={answer}&tab={tab}" for tab in ("changes", "why"))):
        browser("go", hash=hash)
        browser.wait("document.querySelector('main') !== null")
        assert browser("axe") == [], hash


def test_colours_follow_the_system_and_can_be_set(browser: Browser, file: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    browser.open(file, scheme="light")
    light = browser.run(background)
    browser("scheme", scheme="dark")
    browser.wait("document.documentElement.dataset.theme === 'dark'")
    dark = browser.run(background)
    assert light != dark
    browser.click("[aria-label='colours: auto']")
    assert browser.run(background) == light
    browser.click("[aria-label='colours: light']")
    assert browser.run(background) == dark


def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, file: Path) -> None:
    for hash in ("", "problem=words/0&node=3&tab=why"):
        browser.open(f"{file.as_uri()}#{hash}", width=390, height=800, touch=True)
        browser.wait("document.querySelector('main') !== null")
        assert browser.run("document.documentElement.scrollWidth <= 390")


def hostile(tmp_path: Path) -> Path:
    """A run in which every text that others write tries to run something: programs, ids, roles, agents, errors."""
    run = looked_at.grown(
        tmp_path / "x",
        count=1,
        budget=6,
        prefix=looked_at.HOSTILE + "/",
        statement=looked_at.HOSTILE,
        text=lambda turn: f"'''{looked_at.HOSTILE}'''\nprint('two')  # {turn.seed % 7}",
        agents={"coder": looked_at.HOSTILE, "fixer": looked_at.HOSTILE},
    )
    (log,) = log_files(run)
    name = json.dumps(looked_at.HOSTILE)
    text = log.read_text(encoding="utf-8").replace('"coder_0"', name)
    text += json.dumps({"event": "failed", "turn": 0, "reason": looked_at.HOSTILE}) * 0
    log.write_text(text, encoding="utf-8")
    return run


def test_nothing_hostile_runs_or_becomes_markup(browser: Browser, tmp_path: Path) -> None:
    run = hostile(tmp_path)
    file = tmp_path / f"<img src=x onerror=alert(1)>{chr(0x202E)}.html"
    file.write_bytes(page([open_run(run)]))
    browser.open(file)
    browser.wait("document.querySelector('.outline') !== null")  # the one tree is opened at once
    seen = ""
    for node in range(7):
        browser.run(f"document.querySelector('#row-{node}').click()")
        for tab in "123456":
            browser.press(tab)
            seen += browser.text("main")
            assert browser.run("window.broken") is None
            assert (
                browser.run("document.querySelectorAll('img, iframe, object, embed, #app script, svg[onload]').length")
                == 0
            )
    assert "<img src=x onerror='window.broken=2'>" in seen
    assert "U+202E" in seen and "U+0000" in seen and "U+001B" in seen
    assert "\u202e" not in seen and "\x1b" not in seen


def test_what_is_put_into_the_page_by_force_does_not_run_either(browser: Browser, file: Path) -> None:
    browser.open(file)
    refused = browser.run(
        "(() => { try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); return 'put in'; } "
        "catch (error) { return error.name; } })()"
    )
    assert refused == "TypeError"
    browser.run("void document.body.append(Object.assign(document.createElement('img'), { src: 'x.png' }))")
    assert browser.run("fetch('https://example.com').then(() => 'came', () => 'refused')") == "refused"
    told = browser("troubles")
    assert len(told) >= 3
    assert all("Content Security Policy" in one or "TrustedHTML" in one for one in told), told
    browser.open(file)


def test_ten_thousand_nodes_are_drawn_and_found(browser: Browser, tmp_path: Path) -> None:
    run = looked_at.grown(tmp_path / "x", count=1, budget=2)
    (log,) = log_files(run)
    head = log.read_text(encoding="utf-8").splitlines()[0]
    log.write_text("\n".join([head, *looked_at.many_events(10_000)]) + "\n", encoding="utf-8")
    browser.open(at(written(tmp_path, run), problem="words/0"))
    browser.wait("document.querySelector('.picture canvas')?.picture.width > 0")
    assert browser.text(".left .bar .aside") == "10000"
    assert browser.run("document.querySelectorAll('[role=treeitem]').length") < 120
    found = browser.run(
        "(() => { const { picture } = document.querySelector('.picture canvas'); "
        "const { x, y } = picture.spot(7777); return picture.hit(x, y); })()"
    )
    assert found > 0
    browser.run("document.querySelector('[role=tree]').focus()")
    browser.press("End")
    browser.wait("document.querySelector('[role=treeitem][aria-selected=true]') !== null")
