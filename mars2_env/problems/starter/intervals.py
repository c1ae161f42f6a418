"""Starter templates about intervals of time."""

from __future__ import annotations

from random import Random

from mars2_env.problems.starter.material import lines
from mars2_env.problems.starter.template import Arguments, Constants, Template

# --- join-shifts -----------------------------------------------------------------------------------------------------


def _join_shifts(c: Constants, shifts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    # Every minute that is covered, or lies in a gap that is short enough, belongs to a block.
    blocks: list[tuple[int, int]] = []
    reach = None
    for start, end in sorted(shifts):
        if reach is not None and start - reach <= c["gap"]:
            reach = max(reach, end)
            blocks[-1] = (blocks[-1][0], reach)
        else:
            reach = end
            blocks.append((start, end))
    return [block for block in blocks if block[1] - block[0] >= c["least"]]


def _chain(rng: Random, c: Constants, gaps: list[int], low: int, high: int) -> list[tuple[int, int]]:
    """Shifts in order, separated by the gaps (negative: they overlap)."""
    at = rng.randint(0, 30)
    shifts = []
    for gap in [*gaps, 0]:
        end = at + rng.randint(low, high)
        shifts.append((at, end))
        at = end + gap
    return shifts


def _mixed_gaps(rng: Random, c: Constants, number: int) -> list[int]:
    return rng.choices((c["gap"], c["gap"] + 1, 0, -2, c["gap"] + 15), k=number)


def _shuffled_shifts(rng: Random, shifts: list[tuple[int, int]]) -> Arguments:
    rng.shuffle(shifts)
    return (shifts,)


def _nested(rng: Random, c: Constants) -> Arguments:
    start = rng.randint(0, 50)
    length = c["least"] + rng.randint(15, 40)
    inner = [(start + n, start + n + rng.randint(1, 4)) for n in sorted(rng.sample(range(1, 10), 2))]
    after = start + length + c["gap"] + rng.randint(0, 2)
    return ([(start, start + length), *inner, (after, after + c["least"])],)


JOIN_SHIFTS = Template(
    name="join-shifts",
    band="medium",
    choices={"gap": range(2, 13), "least": range(10, 26)},
    signature="join_shifts(shifts: list[tuple[int, int]]) -> list[tuple[int, int]]",
    summary="Join shifts with gaps of at most $gap minutes into blocks; keep blocks of at least $least minutes.",
    statement="""
Write a function `join_shifts(shifts)`.

A shift is a tuple (start, end) in minutes, with start < end. Shifts may overlap, and they come in any order. Two shifts
belong to the same block if they overlap, touch, or if the gap from the end of what is covered so far to the next start
is at most $gap minutes. A block lasts from its earliest start to its latest end. Return the blocks that are at least
$least minutes long, as a list of tuples (start, end) in order of their starts.

`shifts` has 1 to 30 shifts with times from 0 to 2000.
""",
    reference="""
def join_shifts(shifts):
    blocks = []
    for start, end in sorted(shifts):
        if blocks and start - blocks[-1][1] <= $gap:
            blocks[-1][1] = max(blocks[-1][1], end)
        else:
            blocks.append([start, end])
    return [(start, end) for start, end in blocks if end - start >= $least]
""",
    wrong=(
        ("start - blocks[-1][1] <= $gap", "start - blocks[-1][1] < $gap"),
        ("blocks[-1][1] = max(blocks[-1][1], end)", "blocks[-1][1] = end"),
        ("in sorted(shifts):", "in shifts:"),
        ("end - start >= $least", "end - start > $least"),
    ),
    solve=_join_shifts,
    draws=(
        lambda rng, c: (_chain(rng, c, [c["gap"] + 9, -1, c["gap"] + 3], c["least"] + 1, c["least"] + 20),),
        _nested,
        lambda rng, c: _shuffled_shifts(rng, _chain(rng, c, [c["gap"], c["gap"] + 1, c["gap"]], c["least"], 40)),
        lambda rng, c: _shuffled_shifts(rng, _chain(rng, c, _mixed_gaps(rng, c, rng.randint(4, 9)), 4, 30)),
        lambda rng, c: (_chain(rng, c, [c["gap"] + 1] * 3, c["least"] - 1, c["least"] + 1),),
    ),
)

# --- free-slots ------------------------------------------------------------------------------------------------------


def _free_slots(c: Constants, booked: list[tuple[int, int]]) -> str:
    busy = {minute for start, end in booked for minute in range(start, end)}
    slots: list[list[int]] = []
    for minute in range(c["opens"] * 60, c["closes"] * 60):
        if minute in busy:
            continue
        if slots and slots[-1][1] == minute:
            slots[-1][1] = minute + 1
        else:
            slots.append([minute, minute + 1])
    kept = [slot for slot in slots if slot[1] - slot[0] >= c["least"]]
    return lines(*(f"{_clock(start)} {_clock(end)}" for start, end in kept))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _bookings(rng: Random, c: Constants, gaps: list[int], closing: bool) -> list[tuple[int, int]]:
    """Bookings in order after the given gaps; the last one lasts to closing time if `closing`."""
    at = c["opens"] * 60
    booked = []
    for gap in gaps:
        start = at + gap
        at = start + rng.randint(20, 70)
        booked.append((start, at))
    if closing:
        booked[-1] = (booked[-1][0], c["closes"] * 60)
    return booked


def _random_gaps(rng: Random, c: Constants, number: int) -> list[int]:
    return rng.choices((0, c["least"], c["least"] - 1, c["least"] + 7), k=number)


def _overlapping(rng: Random, c: Constants) -> Arguments:
    booked = _bookings(rng, c, _random_gaps(rng, c, 3), bool(rng.randrange(2)))
    start, end = booked[1]
    booked.insert(2, (start + 2, start + rng.randint(5, end - start)))
    booked.append((booked[0][0], booked[0][1] + rng.randint(1, 30)))
    return (booked,)


FREE_SLOTS = Template(
    name="free-slots",
    band="medium",
    choices={"opens": (7, 8, 9), "closes": (17, 18, 19, 20), "least": range(15, 46, 5), "none": ("none", "full")},
    statement="""
A room can be booked from $opens:00 to $closes:00. Print when it is free.

Input: the first line holds n (1 to 12). Each of the next n lines holds the start and the end of a booking, written
`HH:MM` with two digits each, the start before the end, all within the opening hours. Bookings may overlap and come in
any order.

Output: one line `start end`, written in the same way, for each longest possible time in which the room is free and
which lasts at least $least minutes, in order of time. If there is none, print `$none`.
""",
    reference="""
def minutes(text):
    hours, rest = text.split(":")
    return int(hours) * 60 + int(rest)


def clock(value):
    return f"{value // 60:02d}:{value % 60:02d}"


n = int(input())
booked = []
for _ in range(n):
    start, end = input().split()
    booked.append((minutes(start), minutes(end)))
booked.sort()
booked.append(($closes * 60, $closes * 60))
free = $opens * 60
found = False
for start, end in booked:
    if start - free >= $least:
        print(clock(free), clock(start))
        found = True
    free = max(free, end)
if not found:
    print($none)
""",
    wrong=(
        ("start - free >= $least", "start - free > $least"),
        ("free = max(free, end)", "free = end"),
        ("booked.append(($closes * 60, $closes * 60))\n", ""),
        ("booked.sort()\n", ""),
    ),
    solve=_free_slots,
    layout=lambda booked: lines(len(booked), *(f"{_clock(start)} {_clock(end)}" for start, end in booked)),
    draws=(
        lambda rng, c: (_bookings(rng, c, [c["least"] + rng.randint(1, 30), c["least"] + rng.randint(1, 9)], True),),
        lambda rng, c: (_bookings(rng, c, [c["least"] + rng.randint(1, 20), rng.randint(1, 5), c["least"]], False),),
        _overlapping,
        lambda rng, c: (_bookings(rng, c, _random_gaps(rng, c, rng.randint(2, 4)), bool(rng.randrange(2)))[::-1],),
    ),
)

# --- paid-jobs -------------------------------------------------------------------------------------------------------


def _paid_jobs(c: Constants, jobs: list[tuple[int, int, int]]) -> tuple[int, int]:
    best: dict[int, tuple[int, int]] = {}
    ordered = sorted(jobs)

    def after(free: int) -> tuple[int, int]:
        """Return the best (pay, -jobs) of the jobs that start at `free` or later."""
        if free not in best:
            best[free] = (0, 0)
            for start, end, pay in ordered:
                if start >= free:
                    more, fewer = after(end + c["rest"])
                    best[free] = max(best[free], (more + pay, fewer - 1))
        return best[free]

    pay, number = after(0)
    return pay, -number


def _jobs(rng: Random, number: int, spread: int, longest: int, most: int) -> list[tuple[int, int, int]]:
    starts = sorted(rng.choices(range(spread), k=number))
    return [(start, start + rng.randint(1, longest), rng.randint(1, most)) for start in starts]


def _one_row(rng: Random, c: Constants, gap: int) -> list[tuple[int, int, int]]:
    jobs, at = [], rng.randint(0, 20)
    for _ in range(rng.randint(3, 4)):
        end = at + rng.randint(2, 9)
        jobs.append((at, end, rng.randint(5, 30)))
        at = end + gap
    return jobs


def _split_pay(rng: Random, c: Constants, less: int) -> Arguments:
    """A long job that pays `less` than two short ones in its time; and a chain that must rest."""
    pay = rng.randint(4, 20)
    at = 20 + c["rest"]
    short = [(0, 5, pay), (5 + c["rest"], at, pay + 1)]
    later = at + c["rest"]
    row = [(start + later, end + later, p) for start, end, p in _one_row(rng, c, 1)]
    return ([(0, at, 2 * pay + 1 - less), *short, *row],)


PAID_JOBS = Template(
    name="paid-jobs",
    band="hard",
    choices={"rest": range(2, 42)},
    signature="paid_jobs(jobs: list[tuple[int, int, int]]) -> tuple[int, int]",
    summary="Choose jobs with at least $rest minutes of rest between them for the highest pay, then the fewest jobs.",
    statement="""
Write a function `paid_jobs(jobs)`.

A job is a tuple (start, end, pay) with start < end in minutes. Choose jobs such that each chosen job starts at least
$rest minutes after the end of the chosen job before it. Return a tuple of two numbers: the highest total pay that is
possible, and the smallest number of jobs with which that pay can be reached.

`jobs` has 1 to 20 jobs in any order, with times from 0 to 1000 and pay from 1 to 100.
""",
    reference="""
def paid_jobs(jobs):
    ordered = sorted(jobs, key=lambda job: job[1])
    best = [(0, 0)]
    for i, (start, end, pay) in enumerate(ordered):
        before = 0
        for j in range(i):
            if ordered[j][1] + $rest <= start:
                before = j + 1
        total, number = best[before]
        best.append(max(best[i], (total + pay, number - 1)))
    return (best[-1][0], -best[-1][1])
""",
    wrong=(
        ("ordered[j][1] + $rest <= start", "ordered[j][1] + $rest < start"),
        ("ordered[j][1] + $rest <= start", "ordered[j][1] <= start"),
        ("(total + pay, number - 1))", "(total + pay, number - 1), key=lambda b: (b[0], -b[1]))"),
        """
def paid_jobs(jobs):
    chosen = []
    for start, end, pay in sorted(jobs, key=lambda job: -job[2]):
        if all(start >= e + $rest or end + $rest <= s for s, e, _ in chosen):
            chosen.append((start, end, pay))
    return (sum(job[2] for job in chosen), len(chosen))
""",
    ),
    solve=_paid_jobs,
    draws=(
        lambda rng, c: (_one_row(rng, c, c["rest"] + rng.randint(1, 9)),),
        lambda rng, c: _split_pay(rng, c, 0),
        lambda rng, c: (_one_row(rng, c, c["rest"]) + _jobs(rng, 2, 60, 30, 40),),
        lambda rng, c: (_jobs(rng, rng.randint(6, 12), 60 + 4 * c["rest"], 30, 12),),
        lambda rng, c: (_one_row(rng, c, c["rest"]) + _one_row(rng, c, c["rest"] - 1),),
        lambda rng, c: _split_pay(rng, c, 1),
    ),
)

TEMPLATES = (JOIN_SHIFTS, FREE_SLOTS, PAID_JOBS)
