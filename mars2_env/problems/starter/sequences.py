"""Starter templates about lists in order: running state, stretches and windows."""

from __future__ import annotations

from itertools import accumulate
from random import Random

from mars2_env.problems.starter.material import distinct, lines, numbers, spaced
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- running-totals --------------------------------------------------------------------------------------------------


def _running_totals(c: Constants, values: list[int]) -> list[int]:
    def add(total: int, value: int) -> int:
        return total + value if total + value <= c["limit"] else c["start"]

    return list(accumulate(values, add, initial=c["start"]))[1:]


def _up_to_limit(rng: Random, c: Constants) -> Arguments:
    first = rng.randint(1, 9)
    return ([first, c["limit"] - c["start"] - first, *numbers(rng, rng.randint(1, 5), 1, 12)],)


RUNNING_TOTALS = Template(
    name="running-totals",
    band="easy",
    choices={"start": range(1, 8), "limit": range(30, 61)},
    signature="running_totals(values: list[int]) -> list[int]",
    summary="Return the totals after each value, starting at $start and falling back to it above $limit.",
    statement="""
Write a function `running_totals(values)` that keeps a total and returns the list of totals after each value.

The total starts at $start. Each value is added to it. If the total is then greater than $limit, it falls back to
$start before it is noted; the value that broke the limit is lost.

`values` has 1 to 25 whole numbers from 0 to 60.
""",
    reference="""
def running_totals(values):
    total = $start
    out = []
    for v in values:
        total += v
        if total > $limit:
            total = $start
        out.append(total)
    return out
""",
    wrong=(
        ("if total > $limit:", "if total >= $limit:"),
        ("            total = $start\n", "            total = 0\n"),
        ("            total = $start\n", "            total = v\n"),
        ("            total = $start\n", "            total -= $limit\n"),
    ),
    solve=_running_totals,
    draws=(
        lambda rng, c: (numbers(rng, rng.randint(3, 5), 0, 4),),
        _up_to_limit,
        lambda rng, c: (numbers(rng, rng.randint(6, 12), 2, 15),),
        lambda rng, c: (numbers(rng, rng.randint(8, 25), 0, 40),),
    ),
)

# --- carousel --------------------------------------------------------------------------------------------------------


def _carousel(c: Constants, values: list[int]) -> list[int]:
    n = len(values)
    if n == 0:
        return []
    whole, part = divmod(c["k"], n)
    raised = [v + c["b"] * (whole + (i >= n - part)) for i, v in enumerate(values)]
    return raised[n - part :] + raised[: n - part]


CAROUSEL = Template(
    name="carousel",
    band="easy",
    choices={"k": range(3, 8), "b": range(1, 10)},
    signature="carousel(values: list[int]) -> list[int]",
    summary="Do $k times: take the last value away, add $b to it, put it at the front.",
    statement="""
Write a function `carousel(values)` that does the following $k times and returns the list in the end: take the last
number away from the list, add $b to it, and put it at the front of the list.

An empty list stays empty. `values` has 0 to 15 whole numbers from -100 to 100.
""",
    reference="""
def carousel(values):
    ring = list(values)
    if not ring:
        return ring
    for _ in range($k):
        last = ring.pop()
        ring.insert(0, last + $b)
    return ring
""",
    wrong=(
        """
def carousel(values):
    moved = [v + $b for v in values[-$k:]]
    return moved + values[:-$k]
""",
        """
def carousel(values):
    if not values:
        return []
    k = $k % len(values)
    moved = [v + $b for v in values[len(values) - k:]]
    return moved + values[:len(values) - k]
""",
        ("for _ in range($k):", "for _ in range(min($k, len(ring) - 1)):"),
    ),
    solve=_carousel,
    draws=(
        lambda rng, c: (numbers(rng, rng.randint(c["k"] + 1, 10), -20, 50),),
        lambda rng, c: (numbers(rng, c["k"] + rng.randint(0, 1), -20, 50),),
        lambda rng, c: (numbers(rng, rng.randint(2, c["k"] - 1), -20, 50),),
        lambda rng, c: (numbers(rng, rng.randint(0, c["k"]), -100, 100),),
    ),
)

# --- calm-stretch ----------------------------------------------------------------------------------------------------


def _calm_stretch(c: Constants, values: list[int]) -> tuple[int, int]:
    def calm(i: int, j: int) -> bool:
        return all(abs(values[m] - values[m + 1]) <= c["d"] for m in range(i, j))

    n = len(values)
    length = max(j - i + 1 for i in range(n) for j in range(i, n) if calm(i, j))
    starts = [i for i in range(n - length + 1) if calm(i, i + length - 1)]
    return (starts[-1] if c["better"].words == "last" else starts[0]), length


def _steps(rng: Random, c: Constants, sizes: list[int]) -> list[int]:
    values = [rng.randint(10, 60)]
    for size in sizes:
        values.append(values[-1] + rng.choice((-1, 1)) * size)
    return values


def _rising(rng: Random, c: Constants) -> Arguments:
    """Every calm step rises by less than the limit; the one jump rises too, so the stretch is found without signs."""
    before = numbers(rng, rng.randint(3, 5), 0, c["d"] - 1)
    sizes = [*before, c["d"] + 7, *numbers(rng, rng.randint(0, 1), 0, c["d"] - 1)]
    return (list(accumulate(sizes, initial=rng.randint(-9, 30))),)


def _equal_stretches(rng: Random, c: Constants) -> Arguments:
    length = rng.randint(1, 3)
    calm = [numbers(rng, length, 0, c["d"]) for _ in range(rng.randint(2, 3))]
    sizes = [size for part in calm for size in [*part, c["d"] + rng.randint(1, 9)]]
    return (_steps(rng, c, sizes),)


CALM_STRETCH = Template(
    name="calm-stretch",
    band="medium",
    choices={"d": range(2, 26), "better": (Term("first", ">", ">="), Term("last", ">=", ">"))},
    signature="calm_stretch(values: list[int]) -> tuple[int, int]",
    summary="Return start and length of the $better longest stretch whose neighbours differ by at most $d.",
    statement="""
Write a function `calm_stretch(values)`.

A stretch of consecutive numbers is calm if every two neighbours in it differ by at most $d; a single number is always
calm. Return a tuple of two numbers: the index (from 0) at which the longest calm stretch starts, and its length. If
several calm stretches are longest, take the $better of them.

`values` has 1 to 40 whole numbers from -1000 to 1000.
""",
    reference="""
def calm_stretch(values):
    best_start = 0
    best_length = 1
    start = 0
    for i in range(1, len(values)):
        if abs(values[i] - values[i - 1]) > $d:
            start = i
        length = i - start + 1
        if length $better best_length:
            best_start = start
            best_length = length
    return (best_start, best_length)
""",
    wrong=(
        ("length $better best_length", "length $better_slip best_length"),
        ("abs(values[i] - values[i - 1]) > $d", "abs(values[i] - values[i - 1]) >= $d"),
        ("abs(values[i] - values[i - 1]) > $d", "values[i] - values[i - 1] > $d"),
    ),
    solve=_calm_stretch,
    draws=(
        _rising,
        _equal_stretches,
        lambda rng, c: (_steps(rng, c, numbers(rng, rng.randint(6, 12), c["d"] - 1, c["d"] + 1)),),
        lambda rng, c: (_steps(rng, c, numbers(rng, rng.randint(8, 20), 0, c["d"] + c["d"] // 2 + 1)),),
    ),
)

# --- window-rank -----------------------------------------------------------------------------------------------------


def _window_rank(c: Constants, values: list[int]) -> str:
    def ranked(window: list[int]) -> str:
        found = sorted(set(window), reverse=True)
        return str(found[c["rank"] - 1]) if len(found) >= c["rank"] else str(c["few"])

    windows = [values[i : i + c["width"]] for i in range(len(values) - c["width"] + 1)]
    return lines(spaced([ranked(w) for w in windows]) if windows else c["short"])


WINDOW_RANK = Template(
    name="window-rank",
    band="medium",
    choices={"width": range(4, 9), "rank": (2, 3), "few": ("-", "x", "?"), "short": ("none", "short", "empty")},
    statement="""
A window of $width values slides over a list, one step at a time. For each place of the window print the value of rank
$rank among the *different* values in it: rank 1 is the largest value, rank 2 the next smaller one, and so on; equal
values share a rank. Where the window has fewer than $rank different values, print `$few` instead.

Input: the first line holds n (1 to 40), the second line n whole numbers from -1000 to 1000.

Output: one line with the answers for all places of the window, from left to right, separated by spaces; or the single
word `$short` if the list has fewer than $width values.
""",
    reference="""
n = int(input())
values = list(map(int, input().split()))
answers = []
for i in range(n - $width + 1):
    window = sorted(set(values[i:i + $width]), reverse=True)
    if len(window) < $rank:
        answers.append($few)
    else:
        answers.append(str(window[$rank - 1]))
if answers:
    print(" ".join(answers))
else:
    print($short)
""",
    wrong=(
        ("sorted(set(values[i:i + $width]), reverse=True)", "sorted(values[i:i + $width], reverse=True)"),
        ("answers.append($few)", "answers.append(str(window[-1]))"),
        ('if answers:\n    print(" ".join(answers))\nelse:\n    print($short)', 'print(" ".join(answers))'),
    ),
    solve=_window_rank,
    layout=lambda values: lines(len(values), spaced(values)),
    draws=(
        lambda rng, c: (distinct(rng, rng.randint(c["width"], c["width"] + 4), -20, 60),),
        lambda rng, c: (numbers(rng, rng.randint(c["width"] + 2, 12), 1, 5),),
        lambda rng, c: (numbers(rng, 1, 3, 9) * c["width"] + numbers(rng, rng.randint(2, 5), 1, 20),),
        lambda rng, c: (numbers(rng, rng.randint(1, c["width"] - 1), -50, 50),),
        lambda rng, c: (numbers(rng, rng.randint(10, 30), -3, 0) + distinct(rng, 3, -900, 900),),
    ),
)

# --- queue-at-desks --------------------------------------------------------------------------------------------------


def _desks(c: Constants, customers: list[tuple[int, int]]) -> str:
    free = [0] * c["desks"]
    rows: list[str] = []
    longest = 0
    for arrival, service in customers:
        desk = free.index(min(free))
        start = max(arrival, free[desk])
        longest = max(longest, start - arrival)
        free[desk] = start + service + c["pause"]
        rows.append(f"{desk + 1} {start + service}")
    return lines(*rows, longest)


def _arrivals(rng: Random, count: int, spread: int, low: int, high: int) -> Arguments:
    times = sorted(numbers(rng, count, 0, spread))
    return ([(time, rng.randint(low, high)) for time in times],)


DESKS = Template(
    name="queue-at-desks",
    band="medium",
    choices={"desks": (2, 3, 4), "pause": range(1, 13)},
    statement="""
An office has $desks desks, numbered from 1; all are free at minute 0. Customers come in order. Each takes the desk that
becomes (or became) free earliest, the one with the smallest number if several do, and is served there as soon as both
the customer has arrived and the desk is free. After each customer a desk needs a pause of $pause minutes before it is
free again.

Input: the first line holds n (1 to 20). Each of the next n lines holds two whole numbers: the minute at which a
customer arrives (0 to 500, never decreasing) and the minutes of service needed (1 to 60).

Output: n lines, for each customer the number of the desk and the minute at which the service ends. Then one line with
the longest time in minutes that a customer waited between arrival and start of service.
""",
    reference="""
n = int(input())
free = [0] * $desks
longest = 0
for _ in range(n):
    arrival, service = map(int, input().split())
    desk = 0
    for i in range($desks):
        if free[i] < free[desk]:
            desk = i
    start = max(arrival, free[desk])
    longest = max(longest, start - arrival)
    end = start + service
    free[desk] = end + $pause
    print(desk + 1, end)
print(longest)
""",
    wrong=(
        ("free[desk] = end + $pause", "free[desk] = end"),
        ("start = max(arrival, free[desk])", "start = free[desk]"),
        (
            "    desk = 0\n    for i in range($desks):\n        if free[i] < free[desk]:\n            desk = i\n",
            "    desk = _ % $desks\n",
        ),
    ),
    solve=_desks,
    layout=lambda customers: lines(len(customers), *(spaced(row) for row in customers)),
    draws=(
        lambda rng, c: ([(0, s) for s in sorted(distinct(rng, rng.randint(2, c["desks"]), 3, 20))],),
        # Desks end in turn and nobody comes to two equally free desks but at the start.
        lambda rng, c: ([(40 * i, rng.randint(1, 9)) for i in range(rng.randint(2, c["desks"] + 1))],),
        lambda rng, c: _arrivals(rng, rng.randint(5, 9), 20, 1, 20),
        lambda rng, c: _arrivals(rng, rng.randint(6, 14), 60, 5, 60),
        lambda rng, c: _arrivals(rng, rng.randint(4, 10), 300, 1, 60),
    ),
)

TEMPLATES = (RUNNING_TOTALS, CAROUSEL, CALM_STRETCH, WINDOW_RANK, DESKS)
