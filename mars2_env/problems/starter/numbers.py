"""Starter templates about whole numbers and lists of them."""

from __future__ import annotations

from math import lcm
from random import Random

from mars2_env.problems.starter.material import distinct, numbers, shuffled
from mars2_env.problems.starter.template import Arguments, Constants, Template

# --- sum-of-squares --------------------------------------------------------------------------------------------------


def _sum_of_squares(c: Constants, values: list[int]) -> int:
    return sum(v**2 if v % c["k"] == 0 else c["b"] for v in values)


def _with_multiples(rng: Random, c: Constants, low: int, count: int) -> list[int]:
    multiples = [c["k"] * n for n in distinct(rng, count, low, 12)]
    return multiples + [v for v in distinct(rng, 3, low, 60) if v not in multiples]


SUM_OF_SQUARES = Template(
    name="sum-of-squares",
    band="easy",
    choices={"k": range(2, 10), "b": range(1, 9)},
    signature="sum_of_squares(values: list[int]) -> int",
    summary="Add the square of each multiple of $k, and $b for every other value.",
    statement="""
Write a function `sum_of_squares(values)` that goes through a list of whole numbers and adds up

- the square of the number, if it is a multiple of $k,
- $b, if it is not.

`values` has 0 to 20 numbers from -200 to 200. Zero is a multiple of $k.
""",
    reference="""
def sum_of_squares(values):
    total = 0
    for v in values:
        if v % $k == 0:
            total += v * v
        else:
            total += $b
    return total
""",
    wrong=(
        ("if v % $k == 0:", "if v > 0 and v % $k == 0:"),
        ("for v in values:", "for v in set(values):"),
        ("        else:\n            total += $b\n", ""),
    ),
    solve=_sum_of_squares,
    draws=(
        lambda rng, c: (_with_multiples(rng, c, 1, 3),),
        lambda rng, c: ([c["k"] * n for n in distinct(rng, rng.randint(2, 4), 1, 15)],),
        lambda rng, c: (_with_multiples(rng, c, -12, 4),),
        lambda rng, c: (shuffled(rng, _with_multiples(rng, c, -9, 4) * 2),),
    ),
)

# --- weighted-digits -------------------------------------------------------------------------------------------------


def _weighted_digits(c: Constants, n: int) -> int:
    digits = [int(ch) for ch in str(abs(n))]
    return int(c["odd"] * sum(d for d in digits if d % 2) + c["even"] * sum(d for d in digits if d % 2 == 0))


WEIGHTED_DIGITS = Template(
    name="weighted-digits",
    band="easy",
    choices={"odd": range(2, 10), "even": range(2, 8)},
    valid=lambda c: c["odd"] != c["even"],
    signature="weighted_digits(n: int) -> int",
    summary="Add the digits of n: odd digits count $odd times, even digits $even times.",
    statement="""
Write a function `weighted_digits(n)` that adds up the decimal digits of the whole number `n`, where an odd digit counts
$odd times its value and an even digit $even times its value. The sign of `n` does not matter.

`n` is from -10^12 to 10^12.
""",
    reference="""
def weighted_digits(n):
    total = 0
    for ch in str(abs(n)):
        digit = int(ch)
        if digit % 2 == 1:
            total += digit * $odd
        else:
            total += digit * $even
    return total
""",
    wrong=(
        ("in str(abs(n)):", "in set(str(abs(n))):"),
        ("in str(abs(n)):", "in str(n):"),
        ("digit % 2 == 1", "digit in (1, 3, 5, 7)"),
    ),
    solve=_weighted_digits,
    draws=(
        lambda rng, c: (int("".join(map(str, distinct(rng, rng.randint(3, 5), 1, 8)))),),
        lambda rng, c: (int(str(rng.randint(1, 9)) * rng.randint(2, 4) + str(rng.randint(0, 99))),),
        lambda rng, c: (-int("".join(map(str, distinct(rng, rng.randint(3, 6), 1, 8)))),),
        lambda rng, c: (rng.choice((-1, 1)) * int(f"{rng.randint(1, 10**9)}9{rng.randint(0, 9)}"),),
    ),
)

# --- label-numbers ---------------------------------------------------------------------------------------------------


def _label_numbers(c: Constants, start: int, stop: int) -> list[str]:
    def label(i: int) -> str:
        return (c["one"] * (i % c["a"] == 0) + c["two"] * (i % c["b"] == 0)) or str(i)

    return [label(i) for i in range(start, stop + 1)]


def _around_common(rng: Random, c: Constants) -> Arguments:
    middle = lcm(c["a"], c["b"]) * rng.randint(1, 4)
    return (middle - rng.randint(0, 8), middle + rng.randint(0, 8))


def _few_multiples(rng: Random, c: Constants) -> Arguments:
    start = rng.randint(1, c["a"])
    return (start, rng.randint(c["a"], 2 * c["a"] - 1))


def _no_common(rng: Random, c: Constants) -> Arguments:
    start = lcm(c["a"], c["b"]) * rng.randint(0, 9) + 1
    return (start, start + lcm(c["a"], c["b"]) - 2)


_SOUNDS = ("tick", "tock", "ping", "pong", "zip", "zap", "clap", "snap")

LABEL_NUMBERS = Template(
    name="label-numbers",
    band="easy",
    choices={"a": range(3, 8), "b": range(4, 10), "one": _SOUNDS, "two": _SOUNDS},
    valid=lambda c: c["a"] < c["b"] < 2 * c["a"] and c["one"] != c["two"],
    signature="label_numbers(start: int, stop: int) -> list[str]",
    summary="List start to stop as texts; multiples of $a become '$one', multiples of $b become '$two'.",
    statement="""
Write a function `label_numbers(start, stop)` that returns one text for each whole number from `start` to `stop`, both
included:

- `"$one"` for a multiple of $a,
- `"$two"` for a multiple of $b,
- `"$one$two"` for a multiple of both,
- otherwise the number itself, as a text.

1 <= `start` <= `stop` <= 1000.
""",
    reference="""
def label_numbers(start, stop):
    out = []
    for i in range(start, stop + 1):
        label = ""
        if i % $a == 0:
            label += $one
        if i % $b == 0:
            label += $two
        out.append(label or str(i))
    return out
""",
    wrong=(
        ("        if i % $b == 0:", "        elif i % $b == 0:"),
        ("label += $two", "label = $two + label"),
        ("if i % $a == 0:", "if i == $a:"),
    ),
    solve=_label_numbers,
    draws=(
        _few_multiples,
        _no_common,
        _around_common,
        lambda rng, c: (n := rng.randint(1, 300), n + rng.randint(5, 30)),
    ),
)

# --- factor-text -----------------------------------------------------------------------------------------------------


def _prime_factors(n: int) -> list[int]:
    found, d = [], 2
    while n > 1:
        while n % d:
            d += 1
        n //= d
        found.append(d)
    return found


def _factor_text(c: Constants, n: int) -> str:
    factors = _prime_factors(n)
    parts: list[str] = []
    for p in sorted(set(factors)):
        times = factors.count(p)
        parts.extend([f"{p}{c['power']}{times}"] if times >= c["least"] else [str(p)] * times)
    return str(c["times"]).join(parts) or "1"


FACTOR_TEXT = Template(
    name="factor-text",
    band="medium",
    choices={"times": ("*", ".", "x", " "), "power": ("^", "**", ":", "e"), "least": (2, 3, 4)},
    signature="factor_text(n: int) -> str",
    summary="Write n as a product of primes with '$times' and '$power'.",
    statement="""
Write a function `factor_text(n)` that writes a whole number as a product of its prime factors, smallest first.

The parts are joined by `"$times"`. A prime that occurs $least or more times is written once, as the prime, then
`"$power"`, then how many times it occurs. A prime that occurs fewer than $least times is written as often as it occurs.
For 1 return `"1"`.

1 <= `n` <= 10^6.
""",
    reference="""
def factor_text(n):
    if n == 1:
        return "1"
    parts = []
    d = 2
    while d * d <= n:
        count = 0
        while n % d == 0:
            n //= d
            count += 1
        if count >= $least:
            parts.append(str(d) + $power + str(count))
        else:
            parts.extend([str(d)] * count)
        d += 1
    if n > 1:
        parts.append(str(n))
    return $times.join(parts)
""",
    wrong=(
        ("    if n > 1:\n        parts.append(str(n))\n", ""),
        ("while d * d <= n:", "while d * d < n:"),
        ("if count >= $least:", "if count > $least:"),
    ),
    solve=_factor_text,
    draws=(
        # All prime factors are used up by the loop, and no prime occurs just often enough.
        lambda rng, c: (2 ** rng.randint(c["least"] + 1, 8) * 3 ** rng.randint(c["least"] + 1, 6),),
        lambda rng, c: (2 ** c["least"] * rng.choice((11, 13, 17, 19, 23, 29, 31)) * rng.choice((1, 3, 5)),),
        lambda rng, c: (rng.choice((5, 7, 11, 13, 17, 19, 23)) ** 2 * rng.choice((1, 2, 3, 6)),),
        lambda rng, c: (rng.randint(1, 10**5),),
        lambda rng, c: (3 ** c["least"] * 2 ** rng.randint(0, 6) * rng.choice((1, 5, 7, 49)),),
    ),
)

# --- clamp -----------------------------------------------------------------------------------------------------------


def _clamp_all(c: Constants, values: list[int]) -> list[int]:
    return [sorted((c["low"], v, c["high"]))[1] for v in values]


CLAMP_ALL = Template(
    name="clamp-all",
    band="easy",
    choices={"low": range(-20, 0), "high": range(10, 41)},
    signature="clamp_all(values: list[int]) -> list[int]",
    summary="Raise values below $low to $low and lower values above $high to $high.",
    statement="""
Write a function `clamp_all(values)` that returns a new list in which every number below $low is replaced by $low, every
number above $high is replaced by $high, and all other numbers stay as they are, in the same order.

`values` has 1 to 20 whole numbers from -1000 to 1000.
""",
    reference="""
def clamp_all(values):
    out = []
    for v in values:
        if v < $low:
            out.append($low)
        elif v > $high:
            out.append($high)
        else:
            out.append(v)
    return out
""",
    wrong=(
        ("out.append($low)", "out.append(0)"),
        ("        elif v > $high:\n            out.append($high)\n", ""),
        ("        if v < $low:\n            out.append($low)\n        elif v", "        if v"),
        ("out.append($low)", "out.append($high)"),
    ),
    solve=_clamp_all,
    draws=(
        lambda rng, c: (numbers(rng, 3, c["low"], c["high"]) + numbers(rng, 2, c["high"], c["high"] + 50),),
        lambda rng, c: (numbers(rng, 3, c["low"], c["high"]) + numbers(rng, 2, c["low"] - 50, c["low"] - 1),),
        lambda rng, c: (numbers(rng, rng.randint(4, 8), -60, 80),),
        lambda rng, c: ([*numbers(rng, rng.randint(2, 9), -1000, 1000), c["low"] - 1, c["high"] + 1],),
    ),
)

# --- bucket-counts ---------------------------------------------------------------------------------------------------


def _bucket_counts(c: Constants, values: list[int]) -> tuple[int, int, int]:
    below = len([v for v in values if v < c["low"]])
    above = len([v for v in values if v > c["high"]])
    return below, len(values) - below - above, above


def _off_the_limits(rng: Random, c: Constants) -> Arguments:
    values = distinct(rng, rng.randint(5, 9), 0, 100)
    return ([v for v in values if v not in (c["low"], c["high"])],)


BUCKET_COUNTS = Template(
    name="bucket-counts",
    band="easy",
    choices={"low": range(20, 41), "high": range(55, 81)},
    signature="bucket_counts(values: list[int]) -> tuple[int, int, int]",
    summary="Count the values below $low, from $low to $high, and above $high.",
    statement="""
Write a function `bucket_counts(values)` that returns a tuple of three counts: how many of the numbers are below $low,
how many are from $low to $high (both included), and how many are above $high.

`values` has 1 to 40 whole numbers from 0 to 100; equal numbers are counted each.
""",
    reference="""
def bucket_counts(values):
    below = 0
    inside = 0
    above = 0
    for v in values:
        if v < $low:
            below += 1
        elif v <= $high:
            inside += 1
        else:
            above += 1
    return (below, inside, above)
""",
    wrong=(
        ("if v < $low:", "if v <= $low:"),
        ("elif v <= $high:", "elif v < $high:"),
        ("for v in values:", "for v in set(values):"),
    ),
    solve=_bucket_counts,
    draws=(
        _off_the_limits,
        lambda rng, c: ([*numbers(rng, rng.randint(6, 12), 0, 100), c["low"]],),
        lambda rng, c: ([*numbers(rng, rng.randint(6, 14), 0, 100), c["high"]],),
        lambda rng, c: (shuffled(rng, numbers(rng, rng.randint(5, 9), 0, 100) * 2 + [c["low"], c["high"]]),),
    ),
)

TEMPLATES = (SUM_OF_SQUARES, WEIGHTED_DIGITS, LABEL_NUMBERS, FACTOR_TEXT, CLAMP_ALL, BUCKET_COUNTS)
