"""Starter templates about single words and strings."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from random import Random
from string import ascii_lowercase, ascii_uppercase

from mars2_env.problems.starter.material import DISTINCT_LETTERS, lines, shuffled, word, words
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- shift-code ------------------------------------------------------------------------------------------------------


def _shift_code(c: Constants, text: str) -> str:
    k, d = c["k"], c["d"]
    table = dict(zip(ascii_lowercase, ascii_lowercase[k:] + ascii_lowercase[:k], strict=True))
    table |= dict(zip(ascii_uppercase, ascii_uppercase[k:] + ascii_uppercase[:k], strict=True))
    table |= dict(zip("0123456789", "0123456789"[d:] + "0123456789"[:d], strict=True))
    return "".join(table.get(ch, ch) for ch in text)


def _no_wrap(rng: Random, c: Constants) -> Arguments:
    letters = ascii_lowercase[: 26 - c["k"]]
    return (" ".join(words(rng, rng.randint(1, 3), 2, 6, letters)) + " " + str(rng.randrange(10 - c["d"])),)


SHIFT_CODE = Template(
    name="shift-code",
    band="easy",
    choices={"k": range(2, 16), "d": range(1, 7)},
    signature="shift_code(text: str) -> str",
    summary="Shift letters by $k places and digits by $d places, going round at the end.",
    statement="""
Write a function `shift_code(text)` that encodes a text.

- A letter moves $k places forward in the alphabet; after `z` comes `a` again. Upper case stays upper case.
- A digit moves $d places forward; after `9` comes `0` again.
- Every other character stays as it is.

`text` has 1 to 60 printable ASCII characters.
""",
    reference="""
def shift_code(text):
    out = []
    for ch in text:
        if ch.islower():
            out.append(chr((ord(ch) - 97 + $k) % 26 + 97))
        elif ch.isupper():
            out.append(chr((ord(ch) - 65 + $k) % 26 + 65))
        elif ch.isdigit():
            out.append(str((int(ch) + $d) % 10))
        else:
            out.append(ch)
    return "".join(out)
""",
    wrong=(
        ("chr((ord(ch) - 97 + $k) % 26 + 97)", "chr(ord(ch) + $k)"),
        ("% 26 + 65", "% 26 + 97"),
        ("str((int(ch) + $d) % 10)", "str(int(ch) + $d)"),
    ),
    solve=_shift_code,
    draws=(
        _no_wrap,
        lambda rng, c: (word(rng, 4, 8, ascii_uppercase) + "-" + str(rng.randrange(10 - c["d"])),),
        lambda rng, c: (f"{word(rng, 5, 12)}, {word(rng, 2, 6, ascii_uppercase)}! {rng.randint(100, 99999)}",),
        lambda rng, c: (f"{word(rng, 1, 4, 'wxyz')}{rng.randint(0, 999)}9 {word(rng, 1, 4, 'WXYZ')}?",),
    ),
)

# --- badge -----------------------------------------------------------------------------------------------------------


def _badge(c: Constants, name: str) -> str:
    parts = name.split()
    return str(c["sep"]).join([*(part[0].upper() for part in parts), str(c["k"] * sum(map(len, parts)))])


BADGE = Template(
    name="badge",
    band="easy",
    choices={"sep": ("-", ".", "/", "_", "+", ":", "*"), "k": range(2, 10)},
    signature="badge(name: str) -> str",
    summary="Return the initials and $k times the number of letters, joined by '$sep'.",
    statement="""
Write a function `badge(name)` that makes a badge out of a full name.

`name` holds 1 to 5 words of letters; between them, before the first and after the last there may be any number of
spaces. The badge is made of the first letter of each word in upper case, followed by $k times the total number of
letters in the name (spaces do not count), all joined by the character `$sep`.
""",
    reference="""
def badge(name):
    words = name.split()
    letters = sum(len(word) for word in words)
    initials = [word[0].upper() for word in words]
    return $sep.join(initials + [str(letters * $k)])
""",
    wrong=(
        ("word[0].upper()", "word[0]"),
        ("sum(len(word) for word in words)", "len(name) - len(words) + 1"),
        ("words = name.split()", 'words = name.split(" ")'),
        ("for word in words]", "for word in words[:2]]"),
    ),
    solve=_badge,
    draws=(
        lambda rng, c: (" ".join(w.title() for w in words(rng, 2, 3, 8)),),
        lambda rng, c: (" ".join(words(rng, rng.randint(3, 4), 2, 8)),),
        lambda rng, c: ("  ".join(w.title() for w in words(rng, rng.randint(2, 3), 1, 9)) + " ",),
        lambda rng, c: (" " * rng.randint(1, 3) + "   ".join(words(rng, rng.randint(1, 5), 1, 7)),),
    ),
)

# --- banner ----------------------------------------------------------------------------------------------------------


def _banner(c: Constants, parts: list[str]) -> str:
    return str(c["sep"]).join(part if len(part) <= c["k"] else part[: c["k"]] + c["mark"] for part in parts)


BANNER = Template(
    name="banner",
    band="easy",
    choices={"k": range(4, 9), "mark": tuple("~*+^"), "sep": tuple("|/:")},
    signature="banner(words: list[str]) -> str",
    summary="Join the words with '$sep', cutting those longer than $k letters and adding '$mark'.",
    statement="""
Write a function `banner(words)` that joins words into one line.

A word of more than $k letters is cut to its first $k letters, and `$mark` is added to it. Shorter words, and words of
exactly $k letters, stay whole. The words are joined by `$sep`.

`words` has 1 to 8 words of 1 to 15 lower-case letters.
""",
    reference="""
def banner(words):
    parts = []
    for word in words:
        if len(word) > $k:
            word = word[:$k] + $mark
        parts.append(word)
    return $sep.join(parts)
""",
    wrong=(
        ("len(word) > $k", "len(word) >= $k"),
        ("word[:$k] + $mark", "word[:$k - 1] + $mark"),
        ("word[:$k] + $mark", "word[:$k]"),
    ),
    solve=_banner,
    draws=(
        lambda rng, c: (words(rng, rng.randint(2, 4), 1, c["k"] - 1),),
        lambda rng, c: (words(rng, rng.randint(2, 5), c["k"] + 1, c["k"] + 5),),
        lambda rng, c: (words(rng, rng.randint(2, 6), c["k"] - 1, c["k"] + 2),),
        lambda rng, c: (words(rng, rng.randint(1, 3), c["k"], c["k"]),),
    ),
)

# --- pick-word -------------------------------------------------------------------------------------------------------


def _pick_word(c: Constants, candidates: list[str]) -> str:
    allowed = [w for w in candidates if c["letter"] not in w]
    if not allowed:
        return str(c["default"])
    if c["better"].words.endswith("last of them"):
        allowed.reverse()
    pick = max if c["better"].words.startswith("longest") else min
    return pick(allowed, key=len)


def _clear_choice(rng: Random, c: Constants) -> Arguments:
    lengths = rng.sample(range(2, 9), rng.randint(3, 5))
    return ([word(rng, n, n, ascii_lowercase.replace(c["letter"], "")) for n in lengths],)


def _ties(rng: Random, c: Constants) -> Arguments:
    free = ascii_lowercase.replace(c["letter"], "")
    low = rng.randint(2, 6)
    return (words(rng, rng.randint(3, 6), low, low + 1, free) + words(rng, 2, low, low + 1, free),)


def _banned(rng: Random, c: Constants) -> Arguments:
    free = ascii_lowercase.replace(c["letter"], "")
    inside = [word(rng, 1, 8, free) + c["letter"] + word(rng, 0, 3, free) for _ in range(rng.randint(2, 3))]
    inside.append(word(rng, 1, 1, free) + c["letter"])
    return (shuffled(rng, inside + words(rng, rng.randint(2, 4), 3, 7, free)),)


PICK_WORD = Template(
    name="pick-word",
    band="easy",
    choices={
        "letter": tuple("aeioustrnlmd"),
        "better": (
            Term("longest of them; if several are longest, the first of them", ">"),
            Term("longest of them; if several are longest, the last of them", ">="),
            Term("shortest of them; if several are shortest, the first of them", "<"),
            Term("shortest of them; if several are shortest, the last of them", "<="),
        ),
        "default": ("nothing", "nobody", "empty"),
    },
    signature="pick_word(words: list[str]) -> str",
    summary="Pick a word without the letter '$letter' by its length; '$default' if there is none.",
    statement="""
Write a function `pick_word(words)`.

Leave out every word that contains the letter `$letter`. From the words that are left, return the
$better.
If no word is left, return `"$default"`.

`words` has 1 to 10 words of 1 to 14 lower-case letters.
""",
    reference="""
def pick_word(words):
    best = None
    for word in words:
        if $letter in word:
            continue
        if best is None or len(word) $better len(best):
            best = word
    if best is None:
        return $default
    return best
""",
    wrong=(
        ("for word in words:", "for word in reversed(words):"),
        ("if $letter in word:", "if word.startswith($letter):"),
        ("        if $letter in word:\n            continue\n", ""),
    ),
    solve=_pick_word,
    draws=(
        _clear_choice,
        _ties,
        _banned,
        lambda rng, c: ([word(rng, 0, 5) + c["letter"] + word(rng, 0, 5) for _ in range(rng.randint(1, 4))],),
    ),
)

# --- run-lengths -----------------------------------------------------------------------------------------------------


def _run_lengths(c: Constants, rows: list[str]) -> str:
    def packed(letter: str, length: int) -> str:
        return letter * length if length < c["k"] else f"{letter}{c['left']}{length}{c['right']}"

    return lines(*("".join(packed(letter, len(list(run))) for letter, run in groupby(row)) for row in rows))


def _runs(rng: Random, lengths: list[int], letters: str = ascii_lowercase) -> str:
    return "".join(a * n for a, n in zip(rng.sample(letters, len(lengths)), lengths, strict=True))


def _mixed_case(rng: Random, k: int) -> str:
    letter = rng.choice(ascii_lowercase)
    return letter * rng.randint(1, k + 1) + letter.upper() * rng.randint(1, k + 1) + word(rng, 1, 3)


RUN_LENGTHS = Template(
    name="run-lengths",
    band="medium",
    choices={"k": range(3, 9), "left": tuple("[(<{/|#="), "right": tuple("])>}!;")},
    statement="""
Pack texts by shortening their runs. A run is a longest possible stretch of the same letter; upper and lower case are
different letters. A run of $k or more equal letters is written as the letter, then `$left`, then its length, then
`$right`. A run of fewer than $k letters is copied.

Input: the first line holds n (1 to 10). Each of the next n lines is a text of 1 to 80 letters.

Output: n lines, the packed texts.
""",
    reference="""
def pack(text):
    out = []
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or text[i] != text[start]:
            length = i - start
            if length >= $k:
                out.append(text[start] + $left + str(length) + $right)
            else:
                out.append(text[start] * length)
            start = i
    return "".join(out)


n = int(input())
for _ in range(n):
    print(pack(input().strip()))
""",
    wrong=(
        ("length >= $k", "length > $k"),
        ("str(length)", "str(length)[-1]"),
        ("text[i] != text[start]", "text[i].lower() != text[start].lower()"),
    ),
    solve=_run_lengths,
    layout=lambda rows: lines(len(rows), *rows),
    draws=(
        lambda rng, c: ([_runs(rng, [rng.randint(1, 2), c["k"] + 1, 1]) for _ in range(2)],),
        lambda rng, c: (
            [_runs(rng, rng.choices(range(1, c["k"] + 1), k=4)) for _ in range(2)] + [_runs(rng, [c["k"]])],
        ),
        lambda rng, c: ([_mixed_case(rng, c["k"]) for _ in range(2)] + [_runs(rng, [2, c["k"] + 1])],),
        lambda rng, c: ([_runs(rng, [1, c["k"], rng.randint(10, 30), 1]) for _ in range(3)],),
        lambda rng, c: ([_mixed_case(rng, c["k"]) + _runs(rng, [c["k"], 12]) for _ in range(rng.randint(1, 4))],),
    ),
)

# --- letter-groups ---------------------------------------------------------------------------------------------------


def _letter_groups(c: Constants, given: list[str]) -> list[list[str]]:
    groups: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for w in given:
        groups.setdefault(tuple(sorted(Counter(w.replace(c["skip"], "")).items())), []).append(w)
    kept = [sorted(group) for group in groups.values() if len(group) >= c["least"]]
    return sorted(kept, key=lambda group: (-len(group), group[0]))


def _scrambled(rng: Random, base: str, number: int) -> list[str]:
    return ["".join(shuffled(rng, base)) for _ in range(number)]


def _plain_groups(rng: Random, c: Constants) -> Arguments:
    free = ascii_lowercase.replace(c["skip"], "")
    sizes = (c["least"] + 2, c["least"] + 1)
    bases = sorted("".join(rng.sample(free, 5)) for _ in sizes)
    # The larger group also comes first in the alphabet: its words start with a letter of their own.
    first, second = "a" if c["skip"] != "a" else "b", "z"
    out = [first + w for w in _scrambled(rng, bases[0], sizes[0])]
    return (out + [second + w for w in _scrambled(rng, bases[1], sizes[1])],)


def _repeated_letters(rng: Random, c: Constants) -> Arguments:
    a, b = rng.sample(ascii_lowercase.replace(c["skip"], ""), 2)
    out = [w for base in (a + a + b, a + b + b) for w in _scrambled(rng, base, c["least"] + rng.randint(0, 2))]
    return (shuffled(rng, out),)


def _skipped_letters(rng: Random, c: Constants) -> Arguments:
    bases = words(rng, 3, 3, 5, ascii_lowercase.replace(c["skip"], ""))
    out = []
    for base in bases:
        for number in range(c["least"] + rng.randint(-1, 2)):
            out.extend(_scrambled(rng, base + c["skip"] * number, 1))
    return (shuffled(rng, [*out, bases[0]]),)


LETTER_GROUPS = Template(
    name="letter-groups",
    band="medium",
    choices={"skip": tuple("aeioustrnlmdhc"), "least": (2, 3, 4)},
    signature="letter_groups(words: list[str]) -> list[list[str]]",
    summary="Group words made of the same letters (not counting '$skip'), at least $least in a group.",
    statement="""
Write a function `letter_groups(words)`.

Two words belong together when they are made of exactly the same letters, each the same number of times, where the
letter `$skip` does not count at all. Return the groups that have at least $least words. A word that is given twice
counts twice. Within a group the words are in alphabetical order; larger groups come first, and groups of equal size
are ordered by their first word.

`words` has 1 to 30 words of 1 to 12 lower-case letters.
""",
    reference="""
def letter_groups(words):
    groups = {}
    for word in words:
        key = "".join(sorted(word.replace($skip, "")))
        groups.setdefault(key, []).append(word)
    kept = [sorted(group) for group in groups.values() if len(group) >= $least]
    kept.sort(key=lambda group: (-len(group), group[0]))
    return kept
""",
    wrong=(
        ('sorted(word.replace($skip, ""))', 'sorted(set(word.replace($skip, "")))'),
        ('word.replace($skip, "")', "word"),
        ("key=lambda group: (-len(group), group[0])", "key=lambda group: group[0]"),
    ),
    solve=_letter_groups,
    draws=(_plain_groups, _repeated_letters, _skipped_letters),
)

# --- own-digits ------------------------------------------------------------------------------------------------------


def _own_digits(c: Constants, values: list[int]) -> str:
    digits = c["word"][: c["base"]]

    def written(value: int) -> str:
        head, last = divmod(abs(value), c["base"])
        return ("-" if value < 0 else "") + (written(head) if head else "") + str(digits[last])

    return lines(*map(written, values))


OWN_DIGITS = Template(
    name="own-digits",
    band="medium",
    choices={"word": DISTINCT_LETTERS, "base": range(3, 10)},
    statement="""
Write numbers in base $base with letters for digits: the first $base letters of the word `$word` stand for the digits
0, 1, 2 and so on. A negative number starts with `-`. Zero is written as its one digit, other numbers have no leading
zero digit.

Input: the first line holds n (1 to 10), the second line n whole numbers from -10^18 to 10^18.

Output: n lines, the numbers in this notation.
""",
    reference="""
DIGITS = $word


def convert(value):
    if value == 0:
        return DIGITS[0]
    sign = ""
    if value < 0:
        sign = "-"
        value = -value
    out = ""
    while value > 0:
        out = DIGITS[value % $base] + out
        value = value // $base
    return sign + out


n = int(input())
for value in map(int, input().split()):
    print(convert(value))
""",
    wrong=(
        ("    if value == 0:\n        return DIGITS[0]\n", ""),
        ("return sign + out", "return out"),
        ("value = value // $base", "value = int(value / $base)"),
    ),
    solve=_own_digits,
    layout=lambda values: lines(len(values), " ".join(map(str, values))),
    draws=(
        lambda rng, c: (rng.choices(range(1, 999), k=3),),
        lambda rng, c: ([*rng.choices(range(-99, 99), k=4), 0],),
        lambda rng, c: ([rng.randint(-300, -1), rng.randint(1, 5000), rng.randint(1, 9)],),
        lambda rng, c: ([rng.randint(10**16, 10**18), -rng.randint(10**16, 10**18), rng.randint(0, 99)],),
    ),
)

# --- own-numerals ----------------------------------------------------------------------------------------------------


def _symbol_values(c: Constants) -> dict[str, int]:
    values, value = {}, 1
    for place, symbol in enumerate(c["word"][:6]):
        values[symbol] = value
        value *= c["q"] if place % 2 else c["p"]
    return values


def _own_numerals(c: Constants, numerals: list[str]) -> str:
    values = _symbol_values(c)

    def read(numeral: str) -> int:
        found = [values[symbol] for symbol in numeral.lower()]
        return sum(-v if v < after else v for v, after in zip(found, [*found[1:], 0], strict=True))

    return lines(*map(read, numerals))


def _falling(rng: Random, c: Constants, upper: bool = False) -> str:
    symbols = sorted(rng.choices(range(6), k=rng.randint(2, 6)), reverse=True)
    text = "".join(c["word"][i] for i in symbols)
    return text.upper() if upper else text


OWN_NUMERALS = Template(
    name="own-numerals",
    band="medium",
    choices={"word": DISTINCT_LETTERS, "p": range(3, 8), "q": (2, 3, 4)},
    statement="""
A kingdom writes numbers with the first six letters of the word `$word`. The first letter is worth 1; the second is
worth $p times the first, the third $q times the second, the fourth $p times the third, the fifth $q times the fourth,
the sixth $p times the fifth. The letters of a numeral are added up, except that a letter that stands directly before
a letter of higher worth is subtracted instead. Upper and lower case mean the same.

Input: the first line holds n (1 to 10). Each of the next n lines is a numeral of 1 to 12 letters.

Output: n lines, the values of the numerals.
""",
    reference="""
WORTH = {}
worth = 1
for place in range(6):
    WORTH[$word[place]] = worth
    if place % 2 == 0:
        worth = worth * $p
    else:
        worth = worth * $q


def read(numeral):
    total = 0
    values = [WORTH[letter] for letter in numeral.lower()]
    for i in range(len(values)):
        if i + 1 < len(values) and values[i] < values[i + 1]:
            total -= values[i]
        else:
            total += values[i]
    return total


n = int(input())
for _ in range(n):
    print(read(input().strip()))
""",
    wrong=(
        ("if i + 1 < len(values) and values[i] < values[i + 1]:", "if False:"),
        ("values[i] < values[i + 1]", "values[i] < max(values[i + 1:])"),
        ("numeral.lower()", "numeral if letter in WORTH"),
    ),
    solve=_own_numerals,
    layout=lambda numerals: lines(len(numerals), *numerals),
    draws=(
        lambda rng, c: ([_falling(rng, c) for _ in range(3)],),
        lambda rng, c: (
            [_falling(rng, c, upper=True) for _ in range(2)] + [c["word"][:2] + c["word"][rng.randrange(6)]],
        ),
        lambda rng, c: ([word(rng, 3, 7, c["word"][:6]) for _ in range(3)],),
        lambda rng, c: ([word(rng, 4, 12, c["word"][:6] + c["word"][:6].upper()) for _ in range(rng.randint(1, 5))],),
    ),
)

TEMPLATES = (SHIFT_CODE, BADGE, BANNER, PICK_WORD, RUN_LENGTHS, LETTER_GROUPS, OWN_DIGITS, OWN_NUMERALS)
