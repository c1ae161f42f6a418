"""Every rule by which a program is found in a reply, compared, and quoted."""

from __future__ import annotations

import ast
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.prompt.programs import extract_program, fenced, fenced_blocks, normal_form, parse


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("Sure:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```python\nx = 1\n```\nbetter:\n```python\nx = 2\n```", "x = 2\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("~~~py\nx = 1\n~~~", "x = 1\n"),
        ("````python\ns = '```'\n```\n````", "s = '```'\n```\n"),
        ("1. Like this:\n   ```python\n   def f():\n       return 1\n   ```", "def f():\n    return 1\n"),
        ("```python\r\nx = 1\r\n```\r\n", "x = 1\r\n"),
        ("```python\nx = 1\n```\nIt prints:\n```text\n1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\n```python\n\n```", "x = 1\n"),
        ("```python\nx = 1\n```\nand then\n```python\nx = (", "x = 1\n"),
        ("cut short:\n```python\nx = 1\ny =", "x = 1\ny =\n"),
        ("<think>\n```python\nwrong = 1\n```\n</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nwrong = 1\n```\n</think>```python\nx = 1\n```", "x = 1\n"),
        ("wrong = 1\n</think>\n```python\nx = 1\n```", "x = 1\n"),
        ("```python\nx = 1\n```\n<think>\n```python\nwrong = 1\n```", "x = 1\n"),
        ("print(1)", "print(1)\n"),
        ("def f(x):\n    return x", "def f(x):\n    return x\n"),
        ("def broken(:\n    return", "def broken(:\n    return\n"),
        ("import sys\nprint(sys.stdin.read(", "import sys\nprint(sys.stdin.read(\n"),
        ("\nx = int(input())\nprint(x)\n", "x = int(input())\nprint(x)\n"),
        ("I do not know.", None),
        ("sorry", None),
        ("42", None),
        ("", None),
        ("```python\n```", None),
        ("<think>print(1)", None),
        ("```text\nprint(1)\n```", "print(1)\n"),
        # other marks of thinking, and marks that are only spoken of
        ("[THINK]```python\nwrong = 1\n```[/THINK]\n```python\nx = 1\n```", "x = 1\n"),
        ("<reasoning>\n```python\nwrong = 1\n```\n</reasoning>\n```python\nx = 1\n```", "x = 1\n"),
        ("<seed:think>```python\nwrong = 1\n```", None),
        ("```python\nx = '</think>'\n```", "x = '</think>'\n"),
        ("It ends at `<think>`.\n```python\nx = 1\n```", "x = 1\n"),
        # replies that go on with a block which their prompt opened
        ("x = 1\n```\n", "x = 1\n"),
        ("\ndef f():\n    return 1\n```\n\nIt prints:\n```\n1\n```\n", "\ndef f():\n    return 1\n"),
        ("def broken(:\n```\n", "def broken(:\n"),
        ("import this:\n```\nx = 1\n```", "x = 1\n"),
        ("Solution: below\n```\nx = 1\n```", "x = 1\n"),
        ("Answer: none", None),
        ("x = 1\n```python\ny = 2\n```", "y = 2\n"),
    ],
)
def test_the_program_of_a_reply(reply: str, program: str | None) -> None:
    assert extract_program(reply) == program


@pytest.mark.parametrize(
    ("reply", "program"),
    [
        ("```python\ndef f():\n    return 1\n```\nUse:\n```python\nprint(f())\n```", "def f():\n    return 1\n"),
        ("```python\ndef f(): return 1\n```\n```python\ndef f(): return 2\n```", "def f(): return 2\n"),
        ("```python\nf = abs\n```\n```python\nprint(f(1))\n```", "f = abs\n"),
        ("```python\ndef g(): return 1\n```\n```python\nprint(f())\n```", "print(f())\n"),
    ],
)
def test_a_called_program_is_the_last_block_that_defines_the_function(reply: str, program: str) -> None:
    assert extract_program(reply, "f") == program


@pytest.mark.parametrize(
    "reply", ["(" * 50_000, "-" * 100_000 + "1", "x = 9" * 40_000, "a\0b", "\ud800 = 1", "'" * 9999]
)
def test_hostile_replies_are_parsed_without_harm(reply: str) -> None:
    extract_program(reply)
    normal_form(reply)


def test_programs_that_differ_in_layout_and_comments_are_equal() -> None:
    assert normal_form("x=1 # one\n") == normal_form("x = 1\n\n")
    assert normal_form("x = 1") != normal_form("x = 2")
    assert normal_form("x = 1") != normal_form("x = 1.0") != normal_form("x = True") != normal_form("x = '1'")
    assert normal_form("[a, [b]]") != normal_form("[a, b, []]")
    assert normal_form("x = (") == normal_form("x = (")
    assert normal_form("x = (") != normal_form("x = ( ")


@given(st.text(alphabet="`~ab\n", max_size=80))
def test_nothing_inside_a_fence_closes_it(text: str) -> None:
    block = fenced(text, "python")
    ((tag, body, closed),) = fenced_blocks(block)
    assert (tag, closed) == ("python", True)
    assert body in (text, text + "\n")


@given(st.text(alphabet="`~<>/think pyho\n=1", max_size=120))
def test_any_reply_has_a_program_or_none(reply: str) -> None:
    found = extract_program(reply)
    assert found is None or found.strip()


def test_programs_that_break_printers_of_syntax_trees_have_a_normal_form() -> None:
    huge = "x = 0x" + "f" * 5000
    assert normal_form(huge) == normal_form(huge + "  # again")
    assert normal_form(huge) != normal_form(huge + "0")
    nested = "x = " + "(" * 90 + "-" * 300 + "1" + ")" * 90
    assert normal_form(nested) == normal_form(nested.replace("(", "( "))


def test_equal_trees_and_no_others_have_equal_normal_forms() -> None:
    texts = "x = 1|x = 1.0|x = True|x = '1'|x = b'1'|x = [1]|x = (1,)|x = 1,|f(a, *b)|f(*a, b)|[]|[[]]|[[], []]|x: int"
    texts += "|def f(a, /, b): 0|def f(a, b, /): 0|def f(a, *, b): 0|x: int = 0"
    programs = texts.split("|")
    forms = {text: normal_form(text) for text in programs}
    for one in programs:
        for other in programs:
            same = ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))
            assert (forms[one] == forms[other]) == same, (one, other)


def test_threads_that_judge_side_by_side_never_parse_at_once() -> None:
    """Python 3.11 raises a SystemError where they do, at times (CPython's issue 106905)."""
    both, met, real = Barrier(2), [], ast.parse

    def slow(*given: Any, **options: Any) -> Any:
        try:
            both.wait(0.05)
            met.append(given)
        except BrokenBarrierError:
            both.reset()
        return real(*given, **options)

    with pytest.MonkeyPatch.context() as patched, ThreadPoolExecutor(3) as threads:
        patched.setattr(ast, "parse", slow)
        trees = list(threads.map(parse, [f"x = {number}" for number in range(3)]))
    assert all(tree is not None for tree in trees)
    assert met == []
