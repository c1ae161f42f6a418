"""The page's own functions, called alone: densities, what is alike in two runs, addresses, the fold of records."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import looked_at
import pytest

from mars2_env.view.page import json_block
from mars2_env.view.runs import all_made, open_run

pytestmark = pytest.mark.browser

Call = Callable[..., Any]


@pytest.fixture(scope="session")
def call(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Calls a function of a module of the viewer on plain data."""
    folder = tmp_path_factory.mktemp("scripts")

    def built(module: str) -> Path:
        file = folder / f"{module}.mjs"
        if not file.exists():
            esbuild = packages / "node_modules" / ".bin" / "esbuild"
            options = ["--bundle", "--format=esm", "--log-level=error", f"--outfile={file}"]
            subprocess.run([esbuild, packages / f"{module}.ts", *options], check=True)
        return file

    def of(module: str, expression: str, **given: Any) -> Any:
        script = (
            f"import * as its from {json.dumps(built(module).as_uri())};"
            "let text = ''; for await (const part of process.stdin) text += part;"
            f"const given = JSON.parse(text); console.log(JSON.stringify({expression}));"
        )
        done = subprocess.run(
            ["node", "--input-type=module", "-e", script],
            input=json_block(given),
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    return of


def test_densities_are_those_of_their_laws(call: Call) -> None:
    laws = [["beta", 2, 5], ["beta", 0.5, 0.5], ["t", 0.5, 0.2, 3], ["t", 0, 1, 30]]
    found = call("why", "given.laws.map((law) => its.density(law, 0.3))", laws=laws)

    def beta(a: float, b: float, x: float) -> float:
        return x ** (a - 1) * (1 - x) ** (b - 1) * math.gamma(a + b) / math.gamma(a) / math.gamma(b)

    def student(centre: float, scale: float, v: float, x: float) -> float:
        head = math.gamma((v + 1) / 2) / math.gamma(v / 2) / math.sqrt(v * math.pi) / scale
        return head * (1 + ((x - centre) / scale) ** 2 / v) ** (-(v + 1) / 2)

    wanted = [beta(2, 5, 0.3), beta(0.5, 0.5, 0.3), student(0.5, 0.2, 3, 0.3), student(0, 1, 30, 0.3)]
    assert found == pytest.approx(wanted, rel=1e-9)


def test_large_posteriors_have_densities_too(call: Call) -> None:
    assert call("why", "its.density(['beta', 5000, 5000], 0.5)") == pytest.approx(79.78, rel=1e-3)


def test_an_address_says_what_was_put_into_it(call: Call) -> None:
    place = {
        "view": "trees",
        "problem": "a/b c&d=#ü",
        "seed": 3,
        "run": "x y",
        "position": 7,
        "node": 0,
        "tab": "why",
    }
    assert call("address", "its.parse(its.format(given.place))", place=place) == place
    assert call("address", "its.parse('#nonsense&event=-1&node=1e9')")["problem"] is None


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Two trees of one problem, which part after a few nodes."""
    folder = tmp_path_factory.mktemp("alike")
    found = []
    for name, text in (
        ("x", lambda turn: f"x = {turn.seed % 5}"),
        ("y", lambda turn: f"x = {turn.seed % (5 + turn.id // 4)}"),
    ):
        looked_at.grown(folder / name, count=1, budget=9, text=text)
        found += [{"summary": made.summary, "tree": made.tree} for made in all_made(open_run(folder / name))]
    return found


def test_two_runs_part_where_their_nodes_first_differ(call: Call, trees: list[dict[str, Any]]) -> None:
    told = [[event for event in one["tree"]["events"] if event["kind"] == "told"] for one in trees]
    first = next(
        place
        for place, (a, b) in enumerate(zip(*told, strict=True))
        if (a["program"], a["parent"]) != (b["program"], b["parent"])
    )
    assert first > 0
    one, other = (tree["summary"] for tree in trees)
    assert call("compare", "its.firstDifferent(given.one, given.other)", one=one, other=other) == first + 1
    assert call("compare", "its.firstDifferent(given.one, given.one)", one=one) is None


def test_the_fold_of_the_records_is_the_tree(call: Call, trees: list[dict[str, Any]]) -> None:
    (log,) = {one["summary"]["problem"] for one in trees}
    tree = trees[0]["tree"]
    found = call("fold", "its.fold(given.tree, ['coder_0', 'fixer_0'])", tree=tree)
    told = [event for event in tree["events"] if event["kind"] == "told"]
    assert log == "words/0"
    assert [node["parent"] for node in found["nodes"][1:]] == [event["parent"] for event in told]
    assert [node["score"] for node in found["nodes"][1:]] == [event["score"] for event in told]
    assert found["size"][-1] == len(told) + 1
    assert found["best"][-1] == max(event["score"] for event in told)
    assert found["asks"][-1] == len(told)


def test_a_turn_that_was_let_pass_is_over(call: Call) -> None:
    events = [{"kind": "asked", "turn": 0, "agent": "a_0", "parent": None}, {"kind": "passed", "turn": 0}]
    fold = "its.fold({ events: given.events }, ['a_0'])"
    assert [len(turns) for turns in call("fold", f"[1, 2].map((at) => its.inFlight({fold}, at))", events=events)] == [
        1,
        0,
    ]
    assert call("fold", f"its.sentence({fold}, 2)", events=events) == "a_0 lets its turn pass"


def test_what_steers_a_terminal_or_a_reader_is_made_visible(call: Call) -> None:
    shown = call("marks", "JSON.stringify(its.visible('a\\u202eb\\u0000c\\u{e0041}d'))")
    assert all(f'"{number}"' in shown for number in ("202E", "0000", "E0041"))
    assert call("marks", "its.visible('plain \\u00fc text\\n\\t\\u{1f600}')") == "plain ü text\n\t😀"
