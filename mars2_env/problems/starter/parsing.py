"""Starter templates that read a small language: brackets, settings, sums, nested lists."""

from __future__ import annotations

import re
from itertools import combinations, permutations
from random import Random
from typing import Any

from mars2_env.problems.starter.material import lines, shuffled, word
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- bracket-check ---------------------------------------------------------------------------------------------------

_PAIRS = ("()", "[]", "{}", "<>", "/;", "qp")


def _bracket_check(c: Constants, texts: list[str]) -> str:
    def check(text: str) -> str:
        closing = {pair[0]: pair[1] for pair in c["pairs"].split()}
        waiting: list[str] = []
        deepest = 0
        for place, ch in enumerate(text, start=1):
            if ch in closing:
                waiting.append(closing[ch])
                deepest = max(deepest, len(waiting))
                if deepest > c["deep"]:
                    return f"bad {place}"
            elif ch in closing.values() and (not waiting or waiting.pop() != ch):
                return f"bad {place}"
        return f"bad {len(text) + 1}" if waiting else f"ok {deepest}"

    return lines(*map(check, texts))


def _balanced(rng: Random, c: Constants, depth: int, beside: float = 0.4) -> str:
    """Return a correct text of exactly this depth; `beside` is the chance of further brackets at each level."""
    if depth == 0:
        return word(rng, 1, 3, "abcdef")
    pair = rng.choice(str(c["pairs"]).split())
    inside = _balanced(rng, c, depth - 1, beside)
    if rng.random() < beside:
        inside += _balanced(rng, c, rng.randrange(depth))
    return word(rng, 0, 2, "abcdef") + pair[0] + inside + pair[1]


def _spoilt(rng: Random, c: Constants, text: str, how: str) -> str:
    pairs: list[str] = c["pairs"].split()
    if how == "cut":
        return text[: max(text.rfind(pair[1]) for pair in pairs)]
    places = [i for i, ch in enumerate(text) if any(ch == pair[1] for pair in pairs)]
    at = rng.choice(places)
    other = rng.choice([pair[1] for pair in pairs if pair[1] != text[at]])
    return text[:at] + other + text[at + 1 :] if how == "swap" else text[:at] + text[at] + text[at:]


BRACKET_CHECK = Template(
    name="bracket-check",
    band="medium",
    choices={"pairs": tuple(" ".join(pairs) for pairs in combinations(_PAIRS, 3)), "deep": (3, 4, 5)},
    statement="""
Check the brackets of texts. The brackets are the pairs $pairs (the first character of each opens, the second closes);
all other characters do not matter. A closing bracket must close the last bracket that is still open, and it must be of
the same pair. Never more than $deep brackets may be open at the same time.

Input: the first line holds n (1 to 10). Each of the next n lines is a text of 1 to 120 characters without spaces.

Output: for each text one line. If it is correct: `ok` and the largest number of brackets that are open at the same
time. Otherwise: `bad` and the place (counted from 1) of the first character that breaks a rule; if the only fault is
that brackets are still open at the end, the place is the length of the text plus 1.
""",
    reference="""
PAIRS = $pairs.split()
OPENS = [pair[0] for pair in PAIRS]
CLOSES = [pair[1] for pair in PAIRS]


def check(text):
    stack = []
    deepest = 0
    for i in range(len(text)):
        if text[i] in OPENS:
            stack.append(OPENS.index(text[i]))
            if len(stack) > $deep:
                return "bad " + str(i + 1)
            deepest = max(deepest, len(stack))
        elif text[i] in CLOSES:
            if not stack or stack[-1] != CLOSES.index(text[i]):
                return "bad " + str(i + 1)
            stack.pop()
    if stack:
        return "bad " + str(len(text) + 1)
    return "ok " + str(deepest)


n = int(input())
for _ in range(n):
    print(check(input().strip()))
""",
    wrong=(
        ('    if stack:\n        return "bad " + str(len(text) + 1)\n', ""),
        ("if not stack or stack[-1] != CLOSES.index(text[i]):", "if not stack:"),
        ("if len(stack) > $deep:", "if len(stack) >= $deep:"),
        ("deepest = max(deepest, len(stack))", "deepest += 1"),
    ),
    solve=_bracket_check,
    layout=lambda texts: lines(len(texts), *texts),
    draws=(
        lambda rng, c: (
            [_balanced(rng, c, d, 0.0) for d in (1, 2, rng.choice((1, 2)))]
            + [_spoilt(rng, c, _balanced(rng, c, 1), "more")],
        ),
        lambda rng, c: ([_balanced(rng, c, c["deep"]), _spoilt(rng, c, _balanced(rng, c, 2), "cut")],),
        lambda rng, c: (
            [_spoilt(rng, c, _balanced(rng, c, 2), "swap"), _balanced(rng, c, rng.randint(1, c["deep"] + 1))],
        ),
        lambda rng, c: (
            [_balanced(rng, c, rng.randint(2, c["deep"])) + _balanced(rng, c, c["deep"]) for _ in range(3)],
        ),
        lambda rng, c: (
            [
                _spoilt(rng, c, _balanced(rng, c, rng.randint(2, 4)), how)
                for how in shuffled(rng, ("cut", "swap", "more"))
            ],
        ),
    ),
)

# --- read-settings ---------------------------------------------------------------------------------------------------


def _read_settings(c: Constants, text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in text.split(c["sep"]):
        match = re.fullmatch(f"([^{c['eq']}]+)({c['eq']}(.*))?", part.strip())
        if match:
            found.setdefault(match[1].strip().lower(), []).append(
                c["default"] if match[2] is None else match[3].strip()
            )
    return found


def _setting(rng: Random, c: Constants, keys: str) -> str:
    return f"{rng.choice(keys)}{c['eq']}{rng.randint(1, 99)}"


def _settings(rng: Random, c: Constants, parts: list[str]) -> Arguments:
    return (c["sep"].join(parts),)


def _plain_settings(rng: Random, c: Constants) -> Arguments:
    return _settings(
        rng, c, [f"{key}{c['eq']}{rng.randint(1, 99)}" for key in rng.sample("abcdefgh", rng.randint(2, 4))]
    )


def _repeated_settings(rng: Random, c: Constants) -> Arguments:
    return _settings(rng, c, [_setting(rng, c, "xy") for _ in range(rng.randint(3, 5))] + [word(rng, 1, 3, "ab")])


def _messy_settings(rng: Random, c: Constants) -> Arguments:
    eq = c["eq"]
    parts = [
        f" {_setting(rng, c, 'AbC')} ",
        "",
        f"{rng.choice('bcd')}{eq}",
        rng.choice("Dd"),
        f"{rng.choice('abc')} {eq} {word(rng, 2, 4)}",
    ]
    twice = f"{rng.choice('ABC')}{eq}{rng.randint(1, 9)}{eq}{rng.randint(1, 9)}"
    return _settings(rng, c, shuffled(rng, [twice, *rng.sample(parts, rng.randint(2, 5))]))


READ_SETTINGS = Template(
    name="read-settings",
    band="medium",
    choices={"sep": tuple(";,|&"), "eq": tuple("=:~"), "default": ("on", "yes", "true", "set")},
    signature="read_settings(text: str) -> dict[str, list[str]]",
    summary="Read settings separated by '$sep' with names and values separated by '$eq'.",
    statement="""
Write a function `read_settings(text)` that reads settings into a dictionary.

The settings in `text` are separated by `$sep`. A setting is a name, then `$eq`, then a value; everything after the
first `$eq` belongs to the value, which may be empty and may contain further `$eq`. A setting without `$eq` is a name
alone, and its value is `$default`. Spaces around settings, names and values do not count, and names are turned to lower
case. Parts between separators that are empty or hold only spaces are no settings.

Return a dictionary from each name to the list of its values, in the order of `text`. The order of the keys does not
matter. `text` has 1 to 80 printable ASCII characters; no name is empty.
""",
    reference="""
def read_settings(text):
    found = {}
    for part in text.split($sep):
        part = part.strip()
        if not part:
            continue
        if $eq in part:
            name, value = part.split($eq, 1)
        else:
            name, value = part, $default
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found
""",
    wrong=(
        ("name, value = part.split($eq, 1)", "name, value = part.split($eq)[:2]"),
        (
            "found.setdefault(name.strip().lower(), []).append(",
            "found.__setitem__(name.strip().lower(), []) or found[name.strip().lower()].append(",
        ),
        ("        if not part:\n            continue\n", ""),
        ("name.strip().lower()", "name.strip()"),
    ),
    solve=_read_settings,
    draws=(_plain_settings, _repeated_settings, _messy_settings),
)

# --- island-sums -----------------------------------------------------------------------------------------------------


def _order_terms() -> tuple[Term, ...]:
    return tuple(
        Term(", then ".join(f"`{op}`" for op in order), repr({op: 4 - i for i, op in enumerate(order)}))
        for order in permutations("+-*#")
        if order.index("*") > order.index("+") or order.index("*") > order.index("-")
    )


def _island_sums(c: Constants, sums: list[list[Any]]) -> str:
    order = re.findall("`(.)`", c["order"].words)
    return lines(*(_value(c, order, tokens) for tokens in sums))


def _value(c: Constants, order: list[str], tokens: list[Any]) -> int:
    """Return the value of a flat or nested list of tokens: fold the operators away, the tightest first."""
    items = [_value(c, order, token) if isinstance(token, list) else token for token in tokens]
    for op in order:
        folded = items[:1]
        for sign, right in zip(items[1::2], items[2::2], strict=True):
            if sign != op:
                folded += [sign, right]
                continue
            left = folded.pop()
            results = {"+": left + right, "-": left - right, "*": left * right, "#": c["p"] * left - right}
            folded.append(results[op])
        items = folded
    return int(items[0])


def _written(tokens: list[Any]) -> str:
    return "".join(f"({_written(t)})" if isinstance(t, list) else str(t) for t in tokens)


def _sum(rng: Random, operators: str, length: int, nested: float = 0.0, high: int = 9) -> list[Any]:
    def operand() -> Any:
        return _sum(rng, operators, rng.randint(2, 3), 0.0, high) if rng.random() < nested else rng.randint(1, high)

    tokens = [operand()]
    for _ in range(length - 1):
        tokens += [rng.choice(operators), operand()]
    return tokens


ISLAND_SUMS = Template(
    name="island-sums",
    band="hard",
    choices={"order": _order_terms(), "p": range(2, 8)},
    statement="""
On an island sums are written with the operators `+`, `-`, `*` and `#`, where a # b means $p times a, minus b; the
others have their usual meaning. But the operators bind in an order of their own, from the tightest to the loosest:
$order.
Operators of the same kind are worked out from left to right. Parentheses are worked out first.

Input: the first line holds n (1 to 8). Each of the next n lines holds a sum without spaces, of 1 to 60 characters. All
numbers in it are whole and from 0 to 99, without a sign.

Output: n lines, the values of the sums.
""",
    reference="""
LEVEL = $order


def apply(op, a, b):
    if op == "+":
        return a + b
    if op == "-":
        return a - b
    if op == "*":
        return a * b
    return $p * a - b


def evaluate(text):
    values = []
    operators = []

    def reduce_while(level):
        while operators and operators[-1] != "(" and LEVEL[operators[-1]] >= level:
            b = values.pop()
            a = values.pop()
            values.append(apply(operators.pop(), a, b))

    i = 0
    while i < len(text):
        ch = text[i]
        if ch.isdigit():
            j = i
            while j < len(text) and text[j].isdigit():
                j += 1
            values.append(int(text[i:j]))
            i = j
            continue
        if ch == "(":
            operators.append(ch)
        elif ch == ")":
            reduce_while(0)
            operators.pop()
        else:
            reduce_while(LEVEL[ch])
            operators.append(ch)
        i += 1
    reduce_while(0)
    return values[0]


n = int(input())
for _ in range(n):
    print(evaluate(input().strip()))
""",
    wrong=(
        ("LEVEL = $order", "LEVEL = {'*': 3, '#': 2, '+': 1, '-': 1}"),
        ("LEVEL[operators[-1]] >= level:", "LEVEL[operators[-1]] > level:"),
        ("            while j < len(text) and text[j].isdigit():\n                j += 1\n", "            j += 1\n"),
        ("return $p * a - b", "return $p * (a - b)"),
    ),
    solve=_island_sums,
    layout=lambda sums: lines(len(sums), *map(_written, sums)),
    draws=(
        lambda rng, c: (
            [[rng.randint(1, 9), rng.choice("+*-"), rng.randint(1, 9)], _sum(rng, "+", 3), _sum(rng, "*", 3)],
        ),
        lambda rng, c: ([_sum(rng, "+-*#", 4), _sum(rng, "#", 3), _sum(rng, "+*", 4, 0.2)],),
        lambda rng, c: ([_sum(rng, "+-*", 4, 0.3), _sum(rng, "+-*#", 3, 0.4, 20)],),
        lambda rng, c: ([_sum(rng, "+-*#", rng.randint(3, 6), 0.3, 99) for _ in range(rng.randint(1, 4))],),
    ),
)

# --- deep-sum --------------------------------------------------------------------------------------------------------


def _deep_sum(c: Constants, text: str) -> tuple[int, int]:
    total = deepest = depth = 0
    for token in re.findall(r"-?\d+|[^\d-]", text):
        if token == c["brackets"][0]:
            depth += 1
            deepest = max(deepest, depth)
        elif token == c["brackets"][1]:
            depth -= 1
        elif token != c["sep"]:
            total += int(token) * (1 + c["k"] * (depth - 1))
    return total, deepest


def _nested_text(rng: Random, c: Constants, depth: int, low: int, high: int, items: int) -> str:
    """Return a list of exactly this depth."""
    parts = [str(n) for n in rng.choices(range(low, high + 1), k=items)]
    if depth > 1:
        parts.insert(rng.randint(0, len(parts)), _nested_text(rng, c, depth - 1, low, high, items))
        if rng.random() < 0.5:
            parts.append(_nested_text(rng, c, rng.randint(1, depth - 1), low, high, rng.randint(0, 2)))
    return f"{c['brackets'][0]}{c['sep'].join(parts)}{c['brackets'][1]}"


DEEP_SUM = Template(
    name="deep-sum",
    band="hard",
    choices={"brackets": ("[]", "()", "{}", "<>"), "sep": tuple(",;|/"), "k": range(1, 8)},
    signature="deep_sum(text: str) -> tuple[int, int]",
    summary="Return the weighted sum and the depth of a nested list in '$brackets' with '$sep' between items.",
    statement="""
Write a function `deep_sum(text)` that reads a nested list.

A list is written between the two characters `$brackets`, its items separated by `$sep`, without spaces. An item is a
whole number (perhaps with a `-` in front) or again a list; a list may be empty. The outermost list has depth 1, a list
inside it depth 2, and so on. A number in a list of depth 1 counts once; with each further level it counts $k times
more: 1 + $k times at depth 2, 1 + 2 * $k times at depth 3, and so on.

Return a tuple of two numbers: the sum of all numbers, each counted that many times, and the largest depth of a list.

`text` has 2 to 150 characters; numbers are from -999 to 999.
""",
    reference="""
def deep_sum(text):
    total = 0
    depth = 0
    deepest = 0
    number = ""
    for ch in text:
        if ch == $brackets[0]:
            depth += 1
            deepest = max(deepest, depth)
        elif ch == $brackets[1] or ch == $sep:
            if number:
                total += int(number) * (1 + $k * (depth - 1))
                number = ""
            if ch == $brackets[1]:
                depth -= 1
        else:
            number += ch
    return (total, deepest)
""",
    wrong=(
        ("number += ch", "number = ch"),
        ("1 + $k * (depth - 1)", "(1 + $k) ** (depth - 1)"),
        ("1 + $k * (depth - 1)", "1 + $k * (deepest - 1)"),
        ("            number += ch\n", '            number += ch.strip("-")\n'),
    ),
    solve=_deep_sum,
    draws=(
        lambda rng, c: (_nested_text(rng, c, 1, 1, 9, rng.randint(3, 6)),),
        lambda rng, c: (_nested_text(rng, c, 2, -99, 99, 2),),
        lambda rng, c: (_nested_text(rng, c, 3, -20, 60, 2),),
        lambda rng, c: (_nested_text(rng, c, rng.randint(2, 4), -999, 999, rng.randint(1, 2)),),
    ),
)

TEMPLATES = (BRACKET_CHECK, READ_SETTINGS, ISLAND_SUMS, DEEP_SUM)
