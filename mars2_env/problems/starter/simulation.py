"""Starter templates that follow a process step by step: clocks, accounts, circles, caches, robots."""

from __future__ import annotations

from random import Random

from mars2_env.problems.starter.material import NAMES, lines, numbers, shuffled, spaced
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- shift-clock -----------------------------------------------------------------------------------------------------


def _shift_clock(c: Constants, times: list[int]) -> str:
    return lines(*(_clock((time + c["k"]) % 1440) for time in times))


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _plain_times(rng: Random, c: Constants, carry: bool) -> Arguments:
    """Times that stay within the day and need no leading zero; `carry` says whether the minutes run over the hour."""
    good = [
        t
        for t in range(600 - min(c["k"], 540), 1440 - c["k"])
        if (t + c["k"]) // 60 >= 10 and (t + c["k"]) % 60 >= 10 and (t % 60 + c["k"] % 60 >= 60) == carry
    ]
    return (rng.sample(good, rng.randint(2, 3)),)


SHIFT_CLOCK = Template(
    name="shift-clock",
    band="easy",
    choices={"k": range(75, 500)},
    valid=lambda c: 15 <= c["k"] % 60 <= 45,
    statement="""
A film lasts $k minutes. For each starting time print when it ends. Times are written `HH:MM`, from 00:00 to 23:59, with
two digits each; after 23:59 comes 00:00.

Input: the first line holds n (1 to 10). Each of the next n lines holds a starting time.

Output: n lines, the times at which the film ends.
""",
    reference="""
n = int(input())
for _ in range(n):
    hours, minutes = input().split(":")
    total = int(hours) * 60 + int(minutes) + $k
    hour = total // 60 % 24
    minute = total % 60
    print(f"{hour:02d}:{minute:02d}")
""",
    wrong=(
        ("hour = total // 60 % 24", "hour = total // 60"),
        ("{hour:02d}:{minute:02d}", "{hour}:{minute}"),
        ("hour = total // 60 % 24", "hour = (int(hours) + $k // 60) % 24"),
    ),
    solve=_shift_clock,
    layout=lambda times: lines(len(times), *map(_clock, times)),
    draws=(
        lambda rng, c: _plain_times(rng, c, False),
        lambda rng, c: _plain_times(rng, c, True),
        lambda rng, c: ([rng.randrange(1440 - c["k"], 1440), *numbers(rng, 2, 0, 1439)],),
        lambda rng, c: ([1440 - c["k"] + rng.randint(0, 9), *numbers(rng, rng.randint(2, 6), 0, 1439)],),
    ),
)

# --- weather-report --------------------------------------------------------------------------------------------------


def _weather(c: Constants, days: list[int]) -> str:
    return lines(
        f"{min(days)} {max(days)}", len([d for d in days if d >= c["warm"]]), sum(d < c["frost"] for d in days)
    )


WEATHER = Template(
    name="weather-report",
    band="easy",
    choices={"warm": range(12, 25), "frost": range(-8, 3)},
    statement="""
Sum up a series of daily temperatures.

Input: the first line holds n (1 to 30), the second line n whole numbers from -60 to 60.

Output: three lines. The first holds the lowest and the highest temperature, the second the number of days with $warm
degrees or more, the third the number of days with less than $frost degrees.
""",
    reference="""
n = int(input())
days = list(map(int, input().split()))
low = days[0]
high = days[0]
warm = 0
frost = 0
for day in days:
    if day < low:
        low = day
    if day > high:
        high = day
    if day >= $warm:
        warm += 1
    if day < $frost:
        frost += 1
print(low, high)
print(warm)
print(frost)
""",
    wrong=(
        ("high = days[0]", "high = 0"),
        ("if day >= $warm:", "if day > $warm:"),
        ("if day < $frost:", "if day <= $frost:"),
        ("low = days[0]", "low = 0"),
    ),
    solve=_weather,
    layout=lambda days: lines(len(days), spaced(days)),
    draws=(
        lambda rng, c: ([rng.randint(-25, c["frost"] - 1), rng.randint(4, 9), *numbers(rng, 3, c["warm"] + 1, 35)],),
        lambda rng, c: (shuffled(rng, [c["warm"], c["frost"] - 10, *numbers(rng, rng.randint(3, 6), 3, 33)]),),
        lambda rng, c: ([*numbers(rng, rng.randint(3, 6), -40, -1), c["frost"] if c["frost"] < 0 else -3],),
        lambda rng, c: ([*numbers(rng, rng.randint(4, 8), 3, 40), c["warm"]],),
        lambda rng, c: (shuffled(rng, [*numbers(rng, rng.randint(6, 20), -30, 35), c["warm"], c["frost"]]),),
    ),
)

# --- account ---------------------------------------------------------------------------------------------------------


def _account(c: Constants, moves: list[tuple[str, int]]) -> tuple[int, int, int]:
    balance, refused, fees = c["start"], 0, 0
    for kind, amount in moves:
        after = balance + (amount if kind == "in" else -amount)
        if kind == "out" and after < -c["credit"]:
            refused += 1
            continue
        costs = kind == "out" and after < 0
        balance, fees = after - costs * c["fee"], fees + costs
    return balance, refused, fees


def _moves(rng: Random, number: int, most: int) -> list[tuple[str, int]]:
    return [(rng.choice(("in", "out", "out")), rng.randint(1, most)) for _ in range(number)]


ACCOUNT = Template(
    name="account",
    band="medium",
    choices={"start": range(20, 101, 10), "credit": range(30, 81, 10), "fee": range(2, 8)},
    signature="account(moves: list[tuple[str, int]]) -> tuple[int, int, int]",
    summary="Run the moves on an account with $start, a credit of $credit and a fee of $fee below zero.",
    statement="""
Write a function `account(moves)` that runs an account.

The balance starts at $start. Each move is a tuple: `("in", amount)` pays in, `("out", amount)` takes out. Money may be
taken out down to a balance of -$credit; a move that would take the balance lower is refused and changes nothing. Each
time money was taken out and the balance is below 0 after it, a fee of $fee is charged at once; the fee itself may take
the balance below -$credit.

Return a tuple of three numbers: the final balance, how many moves were refused, how many fees were charged.

`moves` has 0 to 30 moves with amounts from 1 to 500.
""",
    reference="""
def account(moves):
    balance = $start
    refused = 0
    fees = 0
    for kind, amount in moves:
        if kind == "in":
            balance += amount
            continue
        if balance - amount < -$credit:
            refused += 1
            continue
        balance -= amount
        if balance < 0:
            balance -= $fee
            fees += 1
    return (balance, refused, fees)
""",
    wrong=(
        ("if balance - amount < -$credit:", "if balance - amount <= -$credit:"),
        ("if balance - amount < -$credit:", "if balance - amount - $fee < -$credit:"),
        ("if balance < 0:", "if balance < 0 and balance + amount >= 0:"),
        ("if balance < 0:", "if balance <= 0:"),
    ),
    solve=_account,
    draws=(
        lambda rng, c: (
            [("out", rng.randint(1, c["start"] - 1)), ("in", rng.randint(1, 9)), ("out", 400 + c["credit"])],
        ),
        lambda rng, c: ([("out", c["start"] + 1), *_moves(rng, rng.randint(3, 6), 30), ("out", 1), ("out", 2)],),
        lambda rng, c: (
            [("out", n := rng.randint(1, c["start"] - 1)), ("out", c["start"] - n + c["credit"]), *_moves(rng, 3, 40)],
        ),
        lambda rng, c: (_moves(rng, rng.randint(6, 14), 60),),
        lambda rng, c: (
            [("in", n := rng.randint(1, 50)), ("out", c["start"] + n), *_moves(rng, rng.randint(1, 9), 50)],
        ),
    ),
)

# --- counting-out ----------------------------------------------------------------------------------------------------


def _counting_out(c: Constants, names: list[str]) -> str:
    ring, order, k = list(names), [], c["k"]
    while ring:
        turn = (k - 1) % len(ring)
        order.append(ring[turn])
        ring = ring[turn + 1 :] + ring[:turn]
        k = c["k"] if len(order[-1]) % 2 else c["j"]
    return lines(*order)


_ODD = tuple(name for name in NAMES if len(name) % 2)

COUNTING_OUT = Template(
    name="counting-out",
    band="medium",
    choices={"k": range(3, 12), "j": range(2, 9)},
    valid=lambda c: c["k"] != c["j"],
    statement="""
Children stand in a circle and count out. The count starts with the first child and goes round in the order of the
input; the child that is counted as number $k leaves. The next count starts with the child after the one that left. It
goes to $k again, except when the child that has just left has a name with an even number of letters: then this one
count goes to $j. This goes on until all children have left.

Input: the first line holds n (1 to 20), the second line n different names of letters, separated by spaces.

Output: n lines, the names in the order in which the children leave.
""",
    reference="""
n = int(input())
ring = input().split()
count = $k
place = 0
while ring:
    place = (place + count - 1) % len(ring)
    name = ring.pop(place)
    print(name)
    if len(name) % 2 == 0:
        count = $j
    else:
        count = $k
""",
    wrong=(
        ("        count = $j\n", "        count = $k\n"),
        ("    else:\n        count = $k\n", ""),
        ("if len(name) % 2 == 0:", "if ring and len(ring[place % len(ring)]) % 2 == 0:"),
    ),
    solve=_counting_out,
    layout=lambda names: lines(len(names), spaced(names)),
    draws=(
        lambda rng, c: (rng.sample(_ODD, rng.randint(3, 7)),),
        lambda rng, c: (rng.sample(NAMES, rng.randint(3, 5)),),
        lambda rng, c: (rng.sample(NAMES, rng.randint(6, 9)),),
        lambda rng, c: (rng.sample(NAMES, rng.randint(8, 20)),),
    ),
)

# --- ageing-cache ----------------------------------------------------------------------------------------------------


def _ageing_cache(c: Constants, steps: list[tuple[str, ...]]) -> str:
    written: dict[str, tuple[int, str]] = {}
    used: dict[str, int] = {}
    answers = []
    for now, (action, key, *value) in enumerate(steps):
        if action == "get":
            hit = key in written and now - written[key][0] <= c["age"]
            answers.append(written[key][1] if hit else c["miss"])
            if hit:
                used[key] = now
            elif key in written:
                del written[key], used[key]
            continue
        if key not in written and len(written) == c["size"]:
            oldest = min(used, key=lambda k: used[k])
            del written[oldest], used[oldest]
        written[key], used[key] = (now, value[0]), now
    return lines(*answers, spaced(sorted(written)))


def _cache_steps(rng: Random, keys: str, number: int, put: float) -> Arguments:
    steps: list[tuple[str, ...]] = [("put", rng.choice(keys), str(rng.randint(10, 99)))]
    for _ in range(number - 2):
        key = rng.choice(keys)
        steps.append(("put", key, str(rng.randint(10, 99))) if rng.random() < put else ("get", key))
    return ([*steps, ("get", rng.choice(keys))],)


def _refreshed(rng: Random, c: Constants, action: str) -> Arguments:
    """Fill the cache, touch the oldest key, write one more, look up all."""
    keys = rng.sample("abcdefgh", c["size"] + 1)
    steps: list[tuple[str, ...]] = [("put", key, str(rng.randint(10, 99))) for key in keys[:-1]]
    steps.append(("get", keys[0]) if action == "get" else ("put", keys[0], str(rng.randint(10, 99))))
    steps.append(("put", keys[-1], str(rng.randint(10, 99))))
    return ([*steps, *(("get", key) for key in keys[:2])],)


def _aged(rng: Random, c: Constants) -> Arguments:
    key, other = rng.sample("abcdefgh", 2)
    wait: list[tuple[str, ...]] = [("put", key, str(rng.randint(10, 99)))]
    wait += [(rng.choice(("get", "put")), other, "11")[: rng.choice((2, 3))] for _ in range(c["age"] - 1)]
    wait = [step if step[0] == "put" and len(step) == 3 else ("get", step[1]) for step in wait]
    return ([*wait, ("get", key), ("get", key), ("put", other, str(rng.randint(10, 99)))],)


AGEING_CACHE = Template(
    name="ageing-cache",
    band="hard",
    choices={"size": (2, 3, 4), "age": range(8, 17), "miss": tuple("-?x")},
    statement="""
Simulate a cache that holds at most $size keys and forgets old values. The steps are numbered 0, 1, 2 and so on.

- `put key value` writes a value. If the key is not in the cache and the cache is full, the key that was used least
  recently is removed first. A value that is too old still takes up its place until it is removed.
- `get key` prints the value if the key is in the cache and was written (with `put`) at most $age steps ago; else it
  prints `$miss`. If the key is there but too old, `get` also removes it.

A key is used by `put`, and by a `get` that finds its value.

Input: the first line holds n (1 to 40). Each of the next n lines holds a step; keys are single lower-case letters,
values whole numbers from 10 to 99.

Output: one line for each `get`. Then one line with all keys that are in the cache at the end, in alphabetical order
(an empty line if there are none).
""",
    reference="""
n = int(input())
cache = {}
for now in range(n):
    step = input().split()
    key = step[1]
    if step[0] == "put":
        if key in cache:
            del cache[key]
        elif len(cache) == $size:
            oldest = next(iter(cache))
            del cache[oldest]
        cache[key] = (step[2], now)
        continue
    if key not in cache:
        print($miss)
        continue
    value, written = cache.pop(key)
    if now - written > $age:
        print($miss)
    else:
        cache[key] = (value, written)
        print(value)
print(" ".join(sorted(cache)))
""",
    wrong=(
        ("value, written = cache.pop(key)", "value, written = cache[key]"),
        (
            "        if key in cache:\n            del cache[key]\n        elif len(cache) == $size:",
            "        if key not in cache and len(cache) == $size:",
        ),
        ("now - written > $age", "now - written >= $age"),
        ("cache[key] = (value, written)", "cache[key] = (value, now)"),
    ),
    solve=_ageing_cache,
    layout=lambda steps: lines(len(steps), *map(spaced, steps)),
    draws=(
        lambda rng, c: _cache_steps(rng, "abcdefgh"[: c["size"]], rng.randint(4, 7), 0.5),
        lambda rng, c: _refreshed(rng, c, "get"),
        _aged,
        lambda rng, c: _refreshed(rng, c, "put"),
        lambda rng, c: _cache_steps(rng, "abcde"[: c["size"] + 1], rng.randint(18, 30), 0.25),
    ),
)

# --- robot-walk ------------------------------------------------------------------------------------------------------


def _robot_walk(c: Constants, commands: list[str]) -> str:
    x, y, heading = 0, 0, 0
    for command in commands:
        if command in "LR":
            heading = (heading + (1 if command == "R" else 3)) % 4
            continue
        length = int(command[1:]) * (1 if command[0] == "F" else -1)
        x += length * (0, 1, 0, -1)[heading]
        y += length * (1, 0, -1, 0)[heading]
        if c["edge"].words.startswith("comes"):
            x, y = x % c["width"], y % c["height"]
        else:
            x, y = sorted((0, x, c["width"] - 1))[1], sorted((0, y, c["height"] - 1))[1]
    return f"{x} {y} {'NESW'[heading]}\n"


def _inside(rng: Random, c: Constants) -> Arguments:
    """Single-digit steps forward, one turn right, never over the edge."""
    up, right = rng.randint(2, 9), rng.randint(2, 9)
    first = rng.randint(1, up - 1)
    return ([f"F{first}", f"F{up - first}", "R", f"F{right}"],)


def _commands(rng: Random, number: int, longest: int, kinds: str) -> Arguments:
    out = []
    for _ in range(number):
        kind = rng.choice(kinds)
        out.append(kind if kind in "LR" else f"{kind}{rng.randint(1, longest)}")
    return (out,)


ROBOT_WALK = Template(
    name="robot-walk",
    band="medium",
    choices={
        "width": range(11, 20),
        "height": range(11, 20),
        "edge": (
            Term("stops at the edge and the rest of that command is lost", "min(max(v, 0), size - 1)", "v % size"),
            Term("comes in again on the opposite side", "v % size", "min(max(v, 0), size - 1)"),
        ),
    },
    valid=lambda c: c["width"] != c["height"],
    statement="""
A robot walks on a floor of $width columns (x from 0, west to east) and $height rows (y from 0, south to north). It
starts at x = 0, y = 0, facing north. The commands are:

- `F` and a number, such as `F12`: go that many squares forward;
- `B` and a number: go that many squares backward, without turning;
- `L` and `R`: turn left or right by 90 degrees.

When a command leads over the edge of the floor, the robot $edge.

Input: one line with 1 to 30 commands, separated by spaces; numbers are from 1 to 50.

Output: one line `x y heading` for the end of the walk, the heading being one of `N`, `E`, `S`, `W`.
""",
    reference="""
def settle(v, size):
    return $edge


x = 0
y = 0
heading = 0
for command in input().split():
    if command == "R":
        heading = (heading + 1) % 4
    elif command == "L":
        heading = (heading - 1) % 4
    else:
        length = int(command[1:])
        if command[0] == "B":
            length = -length
        dx = [0, 1, 0, -1][heading]
        dy = [1, 0, -1, 0][heading]
        x = settle(x + dx * length, $width)
        y = settle(y + dy * length, $height)
print(x, y, "NESW"[heading])
""",
    wrong=(
        ("return $edge", "return ${edge_slip}"),
        ("int(command[1:])", "int(command[1])"),
        ('        if command[0] == "B":\n            length = -length\n', ""),
        ("heading = (heading - 1) % 4", "heading = (heading + 1) % 4"),
    ),
    solve=_robot_walk,
    layout=lambda commands: lines(spaced(commands)),
    draws=(
        _inside,
        lambda rng, c: _commands(rng, rng.randint(4, 7), 9, "FFRLB"),
        lambda rng, c: (["R", f"F{rng.randint(2, 9)}", "L", f"F{c['height'] + rng.randint(1, 9)}"],),
        lambda rng, c: _commands(rng, rng.randint(6, 12), 25, "FFRLB"),
        lambda rng, c: _commands(rng, rng.randint(10, 20), 50, "FRLB"),
    ),
)

TEMPLATES = (SHIFT_CLOCK, WEATHER, ACCOUNT, COUNTING_OUT, AGEING_CACHE, ROBOT_WALK)
