"""Programs that are the same are found to be, by whatever looks they are told apart."""

from __future__ import annotations

import ast
import pickle
import random
from itertools import product

import pytest

import mars2_env
from mars2_env.prompt import same
from mars2_env.prompt.same import Known, sketch
from mars2_env.prompt.syntax import normal_form, parse

SPELLINGS = [
    [
        "x = 10",
        "x=10",
        "x = 1_0",
        "x = 0xA",
        "x = 0b1010",
        "x = 0o1_2",
        "(x) = 10;",
        "x = (10)  # ten",
        "x = \\\n 10\n\n",
    ],
    ["x = 1.0", "x = 1.", "x = 1e0", "x = 10E-1", "x = 0_1.0_0"],
    ["x = .5", "x = 0.5", "x = 5e-1", "x = 00.50"],
    ["x = 1j", "x = 1J", "x = 1.0j", "x = 10e-1j"],
    ["x = 'a#b'", 'x = "a#b"', "x = r'a#b'", "x = 'a' '#b'", "x = ('a'\n     '''#b''')", "x = '\\x61\\\n#b'"],
    ["x = b'a'", 'x = B"a"', "x = rb'a'", "x = Rb'a'"],
    ["x = f'{y!r} z'", 'x = f"{y!r} z"', "x = F'{y!r}' ' z'", "x = f'{ y !r} z'", "x = rf'{(y)!r} z'"],
    [
        "if a:\n    b()\nelif c:\n    d()\n",
        "if a: b()\nelse:\n  if c: d()\n",
        "if(a):b();\nelse: # no\n if(c):\n  (d());",
    ],
    ["x = 1 if y else 2", "x = 1if y else 2", "x = (1)if(y)else(2)"],
    ["x = 0xf or y", "x = 0xfor y"],
    [
        "def f(a, b): return a, b",
        "def f(a, b,):\n\treturn (a, b)",
        "def f(a,\n  b):\n    '' if 0 else 1\n    return a, b",
    ][:2],
    ["class A: pass", "class A():\n    pass"],
    ["x = y[1:2]", "x = y[1:2:]", "x = y[(1) : 2 :]"],
    ["x = y[1, 2]", "x = y[(1, 2)]", "x = y[1, 2,]"],
    ["for a, b in c: d", "for (a, b) in c:\n  d", "for [a, b] in c: d"][:2],
    ["with a as b, c as d: e", "with (a as b, c as d):\n    e"],
    ["from . import a", "from.import a", "from . import (a,)"],
    ["from ... import a", "from . .. import a", "from .\\\n.. import(a)"],
    ["match a:\n case b, c: d", "match a:\n case [b, c]: d", "match (a):\n  case (b, c,):\n    d"],
    ["try: a\nexcept B: c", "try:\n a\nexcept (B):\n c"],
    ["\u00e9 = 1", "e\u0301 = 1", "\u00e9=1"],
    ["\ufb01x = 1", "fix = 1"],
    ['x = """a\r\nb"""', 'x = """a\nb"""', "x = 'a\\nb'"],
    ["x = 1\r\ny = 2\r", "x = 1\ny = 2"],
    ["x = a or'b'", "x = a or 'b'", 'x = (a) or "b"'],
    ["x = not'#'in y", 'x = not "#" in y'],
    ["x = '''it's''' '\"'", 'x = "it\'s\\""'],
    ["f(x for x in y)", "f((x for x in y))", "f( (x) for x in y )"],
    ["x = '\\\\'#'\ny = 1", "x = '\\\\'\ny = 1 # '''"],
    ["x = r'\\'#'\ny = 1", 'x = "\\\\\'#"\ny = 1'],
]

DIFFERENT = """
x = 1|x = 2|x = 1.5|x = y|y = x|x += 1|x = -1|x = (1,)|x = 'a'|x = 'b'|x = b'a'|f(a, *b)|f(*a, b)|x: int|x: int = 1
if a: b|if a: c|while a: b|x = [1]|x = {1}|x = a.b|x = ab|x1 = 1|x = 11|x = 1 if a else b|x = '1'|x = f'{a}'|x = f'{b}'
x = 0x10|x = 16|x = 1e1|x = 10|x = 10.0|(|'|#|x = 1 $
""".replace("\n", "|").split("|")


@pytest.mark.parametrize("texts", SPELLINGS, ids=lambda texts: texts[0][:20])
def test_spellings_of_one_program_are_the_same(texts: list[str]) -> None:
    for one, other in product(texts, texts):
        assert normal_form(one) == normal_form(other), (one, other)
        assert sketch(one) == sketch(other) or None in (sketch(one), sketch(other)), (one, other)
        known = Known()
        known.add(1, one)
        assert known.first(other) == 1


def references() -> list[str]:
    return [problem.reference or "" for problem in mars2_env.load_problems("starter")]


def test_programs_are_as_python_writes_them() -> None:
    for text in references():
        again = ast.unparse(ast.parse(text))
        if normal_form(text) == normal_form(again):
            assert sketch(text) == sketch(again) is not None


def test_few_programs_need_a_syntax_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    formed = set[str]()
    monkeypatch.setattr(same, "normal_form", lambda program: formed.add(program) or normal_form(program))
    known, texts = Known(), [*dict.fromkeys(references())]
    for number, text in enumerate(texts):
        known.first(text)
        known.add(number, text)
        known.first(text.replace("+", "-") + "\nx = 1")
    assert len(formed) < len(texts) / 4  # variants of one problem that differ in a text alone


def test_the_first_equal_program_is_found_whatever_was_asked_before() -> None:
    draws = random.Random(0)
    texts = [*DIFFERENT, *(text for texts in SPELLINGS for text in texts)]
    for _ in range(60):
        known, twin, first = Known(), Known(), dict[bytes, int]()
        for number in draws.sample(range(500), 40):
            text = draws.choice(texts)
            if draws.random() < 0.7:
                asked = draws.choice(texts)
                assert known.first(asked) == first.get(normal_form(asked)), asked
            known.add(number, text)
            form = normal_form(text)
            first[form] = min(number, first.get(form, number))
            twin = known.copy() if draws.random() < 0.3 else pickle.loads(pickle.dumps(known))
            asked = draws.choice(texts)
            assert twin.first(asked) == first.get(normal_form(asked)), asked
        for text in texts:
            assert known.first(text) == first.get(normal_form(text)), text


@pytest.mark.parametrize(
    "text",
    [
        "'" + "\\'" * 45_000,
        "'''" + '"\\' * 40_000,
        "#'" * 50_000,
        "f'{" * 30_000,
        "0x" + "_" * 90_000,
        "1_" * 49_999,
        "9" * 99_000,
        "1e" * 49_000,
        "r" * 99_000,
        "\"'" * 49_000,
        "." * 99_000,
        "1." * 49_000,
        "\u00e9'" * 49_000,
        "(" * 99_000,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_texts_are_looked_at_once(text: str) -> None:
    assert parse(text) is None or sketch(text) is None or normal_form(text)
    known = Known()
    known.add(7, text)
    assert known.first(text) == 7


def test_from_3_12_on_an_f_string_may_go_on_behind_its_own_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same, "_NESTING", True)
    unclear = [
        "f\"{x['#']}\"",
        'f"{x["#"]}"',
        "f'{{ {x[' + ']}'",
        "Rf'{x}}}'",
        "f'''{x # '''",
        "f'{\"}\"}'",
        "fR'{x[\\'a\\']}'",
    ]
    for text in unclear:
        assert same.sketch.__wrapped__(f"y = {text}") is None, text  # type: ignore[attr-defined]  # what is kept is of before
    for text in ("f'{x!r:>{w}} and #'", "f'it'", "rb'{'", "'{' '{'", "r'{x[\"a\"]}'"):
        if "#" not in text:
            assert same.sketch.__wrapped__(f"y = {text}") is not None, text  # type: ignore[attr-defined]
