"""What a program, a problem or a file says is printed, by every command, without being obeyed by a terminal or by rich.

Standard output is no terminal here, so that nothing but hostile text could put a control character into it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from mars2_env.render import printable, printable_line, tree_text
from mars2_env.render.progress import Tally, summary_table
from mars2_env.types import Node, Verdict

BIDIRECTIONAL = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
CONTROLS = "".join(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
STEERING = "\x1b]0;owned\x07\x1b[2J\r\b\x9b31m\u2028" + BIDIRECTIONAL
HOSTILE = f"evil{STEERING}[red]x[/red][link=file:///etc]y[/link][/bold]{{0}}%s"


def assert_harmless(text: str) -> None:
    steering = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")} - {"\n", "\t"}
    assert not steering, f"{steering!r} in {text!r}"


@pytest.mark.parametrize("char", CONTROLS + BIDIRECTIONAL + "\u2028\u2029\u200b\ufeff\ud800", ids=ascii)
def test_a_character_that_steers_a_terminal_is_replaced(char: str) -> None:
    assert printable(f"a{char}b") == printable_line(f"a{char}b") == "a\ufffdb"


def test_other_text_is_left_as_it_is() -> None:
    text = "def f(x):\n\treturn 'é 漢 ع א 😀' # [red]"
    assert printable(text) == text
    assert "\n" not in printable_line(text) and "\t" not in printable_line(text)


def test_a_problem_cannot_add_lines_to_the_picture_of_a_tree() -> None:
    node = Node(1, 0, 1, "coder_0", "", "", Verdict({"public": ("passed",)}), 1.0)
    text = tree_text(f"p\n`- #9 coder_0 passed 1.00{HOSTILE}", [node], spent=1, budget=2)
    assert_harmless(text)
    assert len(text.splitlines()) == 2 and "[red]x[/red]" in text


def test_the_summary_reads_no_markup_in_names() -> None:
    written = io.StringIO()
    console = Console(file=written, width=300, force_terminal=True, color_system=None)
    console.print(summary_table(Tally(turns_by_agent=Counter({HOSTILE: 1}))))
    assert "\x1b]" not in written.getvalue() and "[red]x[/red][link=file:///etc]y[/link][/bold]" in written.getvalue()


@pytest.fixture(scope="module")
def hostile_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A problem set whose every text is hostile, the reference included, which fails."""
    path = tmp_path_factory.mktemp("hostile") / "set.jsonl"
    record = {
        "id": HOSTILE,
        "statement": f"Say 1. {HOSTILE}",
        "starter_code": f"# {HOSTILE}",
        "interface": "stdin",
        "reference": f"print({HOSTILE!r})",
        "public": [{"input": HOSTILE, "output": f"1 {HOSTILE}"}],
        "hidden": [{"input": HOSTILE, "output": f"2 {HOSTILE}"}],
    }
    path.write_text(json.dumps(record) + "\n")
    return path


def mars2(*arguments: str | Path, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mars2_env.cli", *map(str, arguments)],
        capture_output=True,
        input=input,
        env={**os.environ, "COLUMNS": "400", "PYTHONIOENCODING": "utf-8"},
        check=False,
        encoding="utf-8",
        errors="surrogateescape",
    )


def said(*arguments: str | Path, status: int = 0, input: str = "", shows: str = "[red]x[/red][link=") -> str:
    done = mars2(*arguments, input=input)
    text = done.stdout + done.stderr
    assert done.returncode == status, text
    assert "Traceback (most recent call last)" not in done.stderr
    assert_harmless(text)
    assert shows in text
    return text


def test_problems_are_listed_and_shown_harmlessly(hostile_set: Path) -> None:
    listed = said("problems", "list", hostile_set)
    assert len(listed.splitlines()) == 2
    shown = said("problems", "show", HOSTILE.replace("\x00", ""), "--set", hostile_set)
    assert "Say 1." in shown


def test_errors_quote_harmlessly(hostile_set: Path, tmp_path: Path) -> None:
    said("problems", "show", "evil", "--set", hostile_set, status=2, shows="evil")
    said("problems", "list", f"{HOSTILE.replace('/', '')}.jsonl", status=2, shows="[red]x")
    broken = tmp_path / "broken.jsonl"
    for text in (HOSTILE, json.dumps({"id": HOSTILE, "statement": 3}), json.dumps({HOSTILE: 1})):
        broken.write_text(text)
        said("problems", "list", broken, status=2, shows="mars2: ")
    said("search", hostile_set, "--agent", f"coder={HOSTILE}", status=2, shows="[red]x")
    said("evaluate", HOSTILE, status=2)


@pytest.mark.docker
def test_a_failing_reference_is_reported_harmlessly(hostile_set: Path) -> None:
    said("problems", "check", hostile_set, status=1)


@pytest.mark.docker
@pytest.mark.parametrize(
    "program",
    [
        f"import sys\nsys.stderr.write({HOSTILE!r})\nprint({HOSTILE!r})",
        f"class {'E' * 3}(Exception): pass\nraise EEE({HOSTILE!r})",
        f"raise type({HOSTILE.replace(chr(0), '')!r}, (Exception,), {{}})({HOSTILE!r})",
        f"x = '[red]x[/red][link=' {STEERING.replace(chr(13), '')}",
    ],
    ids=["output", "exception", "name of an exception", "syntax error"],
)
def test_what_a_program_says_is_judged_and_printed_harmlessly(hostile_set: Path, program: str) -> None:
    said("judge", HOSTILE, "-", "--set", hostile_set, status=1, input=program, shows="verdict: ")


@pytest.mark.docker
def test_a_run_is_shown_and_evaluated_harmlessly(hostile_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said("search", hostile_set, "--agent", "coder=noise:default", "--budget", "2", "--out", out)
    said("evaluate", out, "--verbose")
    said("show", out, "--all", "--hidden")
    said("env", hostile_set)
