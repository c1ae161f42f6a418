"""Starter templates about texts of several words or lines."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from string import ascii_lowercase

from mars2_env.problems.starter.material import NAMES, lines, numbers, shuffled, word, words
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- number-lines ----------------------------------------------------------------------------------------------------


def _number_lines(c: Constants, rows: list[str]) -> str:
    shown = [row.strip() for row in rows if row.strip()]
    return lines(*(f"{c['first'] + c['step'] * i}{c['mark']} {row}" for i, row in enumerate(shown)))


def _text_lines(rng: Random, number: int) -> list[str]:
    return [" ".join(words(rng, rng.randint(1, 4), 2, 7)) for _ in range(number)]


def _with_blanks(rng: Random, blanks: tuple[str, ...]) -> Arguments:
    rows = _text_lines(rng, rng.randint(2, 4))
    for _ in range(rng.randint(1, 3)):
        rows.insert(rng.randint(1, len(rows) - 1), rng.choice(blanks))
    return (rows,)


NUMBER_LINES = Template(
    name="number-lines",
    band="easy",
    choices={"first": range(2, 30), "step": range(2, 11), "mark": tuple(":.)")},
    statement="""
Number the lines of a text.

Input: 1 to 15 lines, up to the end of the input. A line that is empty or holds only spaces is blank.

Output: every line that is not blank, with a number in front: the number, then `$mark`, then a space, then the line.
The first number is $first, and each next one is larger by $step. Blank lines are left out and take no number.
""",
    reference="""
import sys

number = $first
for line in sys.stdin.read().split("\\n"):
    line = line.strip()
    if line == "":
        continue
    print(str(number) + $mark + " " + line)
    number += $step
""",
    wrong=(
        ("        continue\n", "        number += $step\n        continue\n"),
        ('    if line == "":\n        continue\n', '    if line == "":\n        break\n'),
        ('    line = line.strip()\n    if line == "":', '    if line == "":'),
    ),
    solve=_number_lines,
    layout=lambda rows: lines(*rows),
    draws=(
        lambda rng, c: (_text_lines(rng, rng.randint(2, 4)),),
        lambda rng, c: _with_blanks(rng, ("",)),
        lambda rng, c: _with_blanks(rng, ("", "  ")),
        lambda rng, c: _with_blanks(rng, (" ", "    ")),
    ),
)

# --- pass-list -------------------------------------------------------------------------------------------------------


def _pass_list(c: Constants, results: list[tuple[str, int]]) -> str:
    passing = [name for name, points in results if points >= c["bound"]]
    missing = sum(c["bound"] - points for _, points in results if points < c["bound"])
    return lines(" ".join(passing) or c["none"], missing)


PASS_LIST = Template(
    name="pass-list",
    band="easy",
    choices={"bound": range(40, 76), "none": ("nobody", "none")},
    statement="""
Read the results of a test and print who passed. A test is passed with $bound points or more.

Input: the first line holds n (1 to 15). Each of the next n lines holds a name and a whole number of points (0 to 100).

Output: on the first line the names of those who passed, in the order of the input and separated by spaces, or `$none`
if there are none. On the second line one number: how many points those who did not pass are short of $bound, added up.
""",
    reference="""
n = int(input())
passed = []
missing = 0
for _ in range(n):
    name, points = input().split()
    points = int(points)
    if points >= $bound:
        passed.append(name)
    else:
        missing += $bound - points
print(" ".join(passed) if passed else $none)
print(missing)
""",
    wrong=(
        ("if points >= $bound:", "if points > $bound:"),
        ('" ".join(passed)', '" ".join(sorted(passed))'),
        ("missing += $bound - points", "missing += 1"),
    ),
    solve=_pass_list,
    layout=lambda results: lines(len(results), *(f"{name} {points}" for name, points in results)),
    draws=(
        lambda rng, c: (
            [*zip(sorted(rng.sample(NAMES, 3)), [*numbers(rng, 2, c["bound"] + 1, 100), c["bound"] - 1], strict=True)],
        ),
        lambda rng, c: (
            [*zip(sorted(rng.sample(NAMES, 3), reverse=True), numbers(rng, 3, c["bound"], 99), strict=True)],
        ),
        lambda rng, c: ([*zip(rng.sample(NAMES, 5), [*numbers(rng, 4, 20, 100), c["bound"]], strict=True)],),
        lambda rng, c: ([*zip(rng.sample(NAMES, 4), numbers(rng, 4, 0, 100), strict=True)],),
        lambda rng, c: ([*zip(rng.sample(NAMES, 2), numbers(rng, 2, 0, c["bound"] - 1), strict=True)],),
    ),
)

# --- word-ranking ----------------------------------------------------------------------------------------------------


def _word_ranking(c: Constants, rows: list[str]) -> str:
    found = re.findall("[a-z]+", "\n".join(rows).lower())
    counts = Counter(w for w in found if len(w) >= c["least"])
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return lines(*(f"{w} {n}" for w, n in ranked[: c["top"]]))


def _steady(rng: Random, c: Constants) -> Arguments:
    """Lower case, no marks; all counts differ."""
    chosen = words(rng, c["top"], c["least"], c["least"] + 4)
    text = [w for i, w in enumerate(chosen) for _ in range(i + 1)]
    return ([" ".join(shuffled(rng, text))],)


def _prose(rng: Random, c: Constants, marks: list[str], capitals: bool) -> Arguments:
    chosen = words(rng, 4, c["least"] - 1, c["least"] + 3) + words(rng, 2, 1, c["least"])
    rows = []
    for _ in range(rng.randint(1, 3)):
        row = [rng.choice(chosen) + rng.choice(marks) for _ in range(rng.randint(5, 9))]
        rows.append(" ".join(w.title() if capitals and not rng.randrange(3) else w for w in row).strip())
    return (rows,)


WORD_RANKING = Template(
    name="word-ranking",
    band="medium",
    choices={"least": range(3, 7), "top": range(2, 6), "what": ("most frequent", "commonest")},
    statement="""
Find the $top $what words of a text.

A word is a longest possible stretch of letters; every other character ends a word. Upper and lower case mean the same.
Words of fewer than $least letters do not count.

Input: 1 to 10 lines of text, up to the end of the input; ASCII characters only.

Output: up to $top lines `word count`, the word in lower case. More frequent words come first; equally frequent words
are in alphabetical order. There is always at least one word to print.
""",
    reference="""
import sys

text = sys.stdin.read().lower()
counts = {}
word = ""
for ch in text + " ":
    if "a" <= ch <= "z":
        word += ch
    else:
        if len(word) >= $least:
            counts[word] = counts.get(word, 0) + 1
        word = ""
ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
for word, count in ranked[:$top]:
    print(word, count)
""",
    wrong=(
        ("key=lambda item: (-item[1], item[0])", "key=lambda item: -item[1]"),
        ("if len(word) >= $least:", "if len(word) > $least:"),
        """
import sys
from collections import Counter

words = sys.stdin.read().lower().split()
counts = Counter(word for word in words if len(word) >= $least)
for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:$top]:
    print(word, count)
""",
        ("if len(word) >= $least:", "if word:"),
    ),
    solve=_word_ranking,
    layout=lambda rows: lines(*rows),
    draws=(
        _steady,
        lambda rng, c: (
            [
                " ".join(w for w in words(rng, c["top"] + 1, c["least"] + 1, 8) for _ in range(2)),
                " ".join(words(rng, 3, 1, c["least"] - 1)),
            ],
        ),
        lambda rng, c: _prose(rng, c, ["", ",", "."], True),
        lambda rng, c: _prose(rng, c, [";", "-", "'s", "!", "2"], False),
    ),
)

# --- justify ---------------------------------------------------------------------------------------------------------


def _justify(c: Constants, given: list[str]) -> list[str]:
    width, fill = c["width"], c["fill"]
    rows: list[list[str]] = [[]]
    for w in given:
        if rows[-1] and len(" ".join([*rows[-1], w])) > width:
            rows.append([])
        rows[-1].append(w)

    def full(row: list[str]) -> str:
        gaps = len(row) - 1
        room = width - sum(map(len, row))
        wide = [room // gaps + (i < room % gaps) for i in range(gaps)]
        if c["side"].words == "right":
            wide.reverse()
        return "".join(w + fill * gap for w, gap in zip(row, [*wide, 0], strict=True))

    last = len(rows) - 1
    return [
        fill.join(row).ljust(width, fill) if i == last or len(row) == 1 else full(row) for i, row in enumerate(rows)
    ]


def _fitting_rows(rng: Random, c: Constants, slack: int) -> list[str]:
    """Words that make two rows: the first of three words with `slack` to spread, the second of one word."""
    letters = c["width"] - 2 - slack
    first = rng.randint(2, letters // 3)
    second = rng.randint(2, letters // 3)
    sizes = (first, second, letters - first - second, rng.randint(slack + 1, 8))
    return [word(rng, size, size) for size in sizes]


JUSTIFY = Template(
    name="justify",
    band="hard",
    choices={
        "width": range(16, 25),
        "fill": tuple("._-~"),
        "side": (Term("left", "i < extra", "i >= gaps - extra"), Term("right", "i >= gaps - extra", "i < extra")),
    },
    signature="justify(words: list[str]) -> list[str]",
    summary="Set words in rows of $width characters, filled up with '$fill'.",
    statement="""
Write a function `justify(words)` that sets words in rows of exactly $width characters and returns the rows.

Take as many words into a row as fit, in order, when neighbours are separated by at least one fill character `$fill`.
Then spread the rest of the row over the gaps between its words, as evenly as possible: where the fill characters cannot
be shared out evenly, the gaps further to the $side get one more each. The last row, and every row of a single word,
is different: its words are separated by one fill character each, and the row is filled up at its right end.

`words` has 1 to 30 words of 1 to 14 lower-case letters.
""",
    reference="""
def justify(words):
    rows = []
    row = []
    size = 0
    for word in words:
        if row and size + len(row) + len(word) > $width:
            rows.append(row)
            row = []
            size = 0
        row.append(word)
        size += len(word)
    rows.append(row)
    out = []
    for number, row in enumerate(rows):
        gaps = len(row) - 1
        if gaps == 0 or number == len(rows) - 1:
            out.append($fill.join(row).ljust($width, $fill))
            continue
        room = $width - sum(len(word) for word in row)
        even = room // gaps
        extra = room % gaps
        line = ""
        for i in range(gaps):
            line += row[i] + $fill * even
            if $side:
                line += $fill
        out.append(line + row[-1])
    return out
""",
    wrong=(
        ("if $side:", "if ${side_slip}:"),
        ("if gaps == 0 or number == len(rows) - 1:", "if gaps == 0:"),
        ("size + len(row) + len(word) > $width", "size + len(row) + len(word) >= $width"),
        ("if gaps == 0 or number == len(rows) - 1:", "if number == len(rows) - 1:"),
    ),
    solve=_justify,
    draws=(
        lambda rng, c: (_fitting_rows(rng, c, 2),),
        lambda rng, c: (_fitting_rows(rng, c, rng.choice((1, 3))) + words(rng, 1, 1, 3),),
        lambda rng, c: (words(rng, rng.randint(7, 12), 1, 9),),
        # A row of a single word in the middle.
        lambda rng, c: (words(rng, rng.randint(1, 8), 5, 14) + words(rng, 3, 13, 14) + words(rng, 1, 3, 9),),
        lambda rng, c: (_fitting_rows(rng, c, 0) + words(rng, rng.randint(3, 9), 2, 6, ascii_lowercase[:12]),),
    ),
)

TEMPLATES = (NUMBER_LINES, PASS_LIST, WORD_RANKING, JUSTIFY)
