"""Starter templates for dynamic programming: edits, coins, loads."""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random

from mars2_env.problems.starter.material import distinct, lines, numbers, spaced, word
from mars2_env.problems.starter.template import Arguments, Constants, Template

# --- typing-cost -----------------------------------------------------------------------------------------------------


def _typing_cost(c: Constants, typed: str, wanted: str) -> int:
    # From the ends backward: cost[i][j] is the lowest cost of turning typed[i:] into wanted[j:].
    add, drop, change, swap = c["add"], c["drop"], c["change"], c["swap"]
    n, m = len(typed), len(wanted)
    cost = [[add * (m - j) + drop * (n - i) for j in range(m + 1)] for i in range(n + 1)]
    for i in reversed(range(n)):
        row, below = cost[i], cost[i + 1]
        for j in reversed(range(m)):
            same = typed[i] == wanted[j]
            best = below[j + 1] if same else min(below[j + 1] + change, below[j] + drop, row[j + 1] + add)
            if not same and typed[i : i + 2] == wanted[j : j + 2][::-1] and i + 1 < n:
                best = min(best, cost[i + 2][j + 2] + swap)
            row[j] = best
    return int(cost[0][0])


def _edited(rng: Random, text: str, edits: str) -> str:
    out = list(text)
    for edit in edits:
        at = rng.randrange(len(out))
        if edit == "a":
            out.insert(at, rng.choice("uvwxyz"))
        elif edit == "d" and len(out) > 1:
            del out[at]
        elif edit == "c":
            out[at] = rng.choice("uvwxyz")
        elif edit == "s" and at + 1 < len(out):
            out[at : at + 2] = out[at : at + 2][::-1]
    return "".join(out)


def _pair(rng: Random, edits: str, low: int = 5, high: int = 9) -> Arguments:
    wanted = word(rng, low, high, "abcdefgh")
    return _edited(rng, wanted, edits), wanted


def _swapped(rng: Random, c: Constants) -> Arguments:
    """Up to three pairs of neighbours swapped, in a word of different letters; a few letters too many at its end."""
    wanted = "".join(rng.sample("abcdefghijklm", rng.randint(9, 11)))
    typed = list(wanted)
    for at in rng.sample((0, 3, 6), rng.randint(1, 3)):
        typed[at : at + 2] = typed[at + 1], typed[at]
    return "".join(typed) + word(rng, 0, 3, "xyz"), wanted


TYPING_COST = Template(
    name="typing-cost",
    band="hard",
    choices={"add": range(3, 8), "drop": range(3, 8), "change": range(4, 10), "swap": range(3, 10)},
    valid=lambda c: (
        c["add"] != c["drop"]
        and c["change"] < c["add"] + c["drop"]
        and max(c["add"], c["drop"]) < c["swap"] < min(2 * c["change"], c["add"] + c["drop"])
    ),
    signature="typing_cost(typed: str, wanted: str) -> int",
    summary="Return the lowest cost of turning typed into wanted.",
    statement="""
Write a function `typing_cost(typed, wanted)` that returns the lowest total cost of turning the text `typed` into the
text `wanted` with these steps:

- add a letter anywhere: costs $add;
- drop a letter: costs $drop;
- change a letter into another one: costs $change;
- swap two letters that are neighbours in `typed` and, the other way round, neighbours in `wanted`: costs $swap. They
  are not touched by any other step, and nothing is added or dropped between them.

Both texts have 0 to 20 lower-case letters.
""",
    reference="""
def typing_cost(typed, wanted):
    n = len(typed)
    m = len(wanted)
    cost = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n + 1):
        for j in range(m + 1):
            if i == 0:
                cost[i][j] = j * $add
                continue
            if j == 0:
                cost[i][j] = i * $drop
                continue
            change = 0 if typed[i - 1] == wanted[j - 1] else $change
            best = min(
                cost[i][j - 1] + $add,
                cost[i - 1][j] + $drop,
                cost[i - 1][j - 1] + change,
            )
            if i > 1 and j > 1 and typed[i - 1] == wanted[j - 2] and typed[i - 2] == wanted[j - 1]:
                best = min(best, cost[i - 2][j - 2] + $swap)
            cost[i][j] = best
    return cost[n][m]
""",
    wrong=(
        ("best = min(best, cost[i - 2][j - 2] + $swap)", "pass"),
        ("cost[i - 1][j] + $drop", "cost[i - 1][j] + $add"),
        ("cost[i - 1][j - 1] + change", "cost[i - 1][j - 1] + (change > 0)"),
    ),
    solve=_typing_cost,
    draws=(
        # Letters to add at one place; nothing else pays.
        lambda rng, c: ((base := word(rng, 8, 12, "abcdefgh"))[:4] + base[rng.randint(5, 6) :], base),
        _swapped,
        lambda rng, c: _pair(rng, rng.choice(("aac", "acca", "aca")), 6, 9),
        lambda rng, c: _pair(rng, "".join(rng.choices("adcs", k=rng.randint(3, 7)))),
        lambda rng, c: (word(rng, 0, 9, "abc"), word(rng, 0, 9, "abc")),
        lambda rng, c: (word(rng, 1, 4, "xyz"), word(rng, 5, 12, "abcd")),
    ),
)

# --- odd-coins -------------------------------------------------------------------------------------------------------


def _odd_coins(c: Constants, amounts: list[int]) -> str:
    return lines(*(_coin_answer(c["coins"], amount) or c["none"] for amount in amounts))


@cache
def _coin_answer(coins: tuple[int, int, int], amount: int) -> str:
    """Try all numbers of coins of the two larger values."""
    a, b, d = coins
    found = [
        (amount - rest) // a + y + z
        for z in range(amount // d + 1)
        for y in range((amount - d * z) // b + 1)
        if (amount - (rest := b * y + d * z)) % a == 0
    ]
    return f"{min(found)} {len(found)}" if found else ""


_COIN_SETS = tuple(
    (a, b, d) for a, b, d in product(range(3, 6), range(7, 12), range(13, 24)) if b % a and d % a and d % b
)  # fmt: skip

ODD_COINS = Template(
    name="odd-coins",
    band="hard",
    choices={"coins": _COIN_SETS, "none": ("impossible", "no")},
    statement="""
An island has coins of three values: $coins. For each amount, print the smallest number of coins that pay
exactly this amount, and in how many ways it can be paid. Two ways are the same if they use the same number
of coins of each value.

Input: the first line holds n (1 to 8), the second line n amounts (whole numbers from 1 to 200).

Output: n lines, each with the two numbers for an amount, or the word `$none` if it cannot be paid.
""",
    reference="""
COINS = $coins
LIMIT = 200
fewest = [0] + [None] * LIMIT
ways = [1] + [0] * LIMIT
for coin in COINS:
    for amount in range(coin, LIMIT + 1):
        ways[amount] += ways[amount - coin]
        before = fewest[amount - coin]
        if before is not None:
            if fewest[amount] is None or before + 1 < fewest[amount]:
                fewest[amount] = before + 1
n = int(input())
for amount in map(int, input().split()):
    if ways[amount] == 0:
        print($none)
    else:
        print(fewest[amount], ways[amount])
""",
    wrong=(
        """
COINS = sorted($coins, reverse=True)
LIMIT = 200
ways = [1] + [0] * LIMIT
for coin in COINS:
    for amount in range(coin, LIMIT + 1):
        ways[amount] += ways[amount - coin]
n = int(input())
for amount in map(int, input().split()):
    count = 0
    rest = amount
    for coin in COINS:
        count += rest // coin
        rest %= coin
    if rest:
        print($none)
    else:
        print(count, ways[amount])
""",
        """
COINS = $coins
LIMIT = 200
fewest = [0] + [None] * LIMIT
ways = [1] + [0] * LIMIT
for amount in range(1, LIMIT + 1):
    for coin in COINS:
        if coin <= amount and ways[amount - coin]:
            ways[amount] += ways[amount - coin]
            if fewest[amount] is None or fewest[amount - coin] + 1 < fewest[amount]:
                fewest[amount] = fewest[amount - coin] + 1
n = int(input())
for amount in map(int, input().split()):
    if ways[amount] == 0:
        print($none)
    else:
        print(fewest[amount], ways[amount])
""",
        (
            "    if ways[amount] == 0:\n        print($none)\n    else:\n        print(fewest[amount], ways[amount])",
            "    print(fewest[amount], ways[amount])",
        ),
        ("for amount in range(coin, LIMIT + 1):", "for amount in range(LIMIT, coin - 1, -1):"),
    ),
    solve=_odd_coins,
    layout=lambda amounts: lines(len(amounts), spaced(amounts)),
    draws=(
        # One coin each: every way of counting agrees.
        lambda rng, c: (rng.sample(_single_way(c), 2),),
        lambda rng, c: ([rng.choice(_single_way(c)), *(rng.sample(_unpayable(c), 1)), rng.choice(c["coins"])],),
        lambda rng, c: (distinct(rng, 4, 20, 80),),
        lambda rng, c: (numbers(rng, rng.randint(2, 6), 60, 200),),
        lambda rng, c: ([*numbers(rng, 2, 1, 40), rng.choice(_unpayable(c)), *numbers(rng, 2, 30, 120)],),
    ),
)


@cache
def _way_counts(coins: tuple[int, ...], top: int) -> tuple[int, ...]:
    counts = [1] + [0] * top
    for coin in coins:
        for amount in range(coin, top + 1):
            counts[amount] += counts[amount - coin]
    return tuple(counts)


def _unpayable(c: Constants) -> list[int]:
    return [amount for amount, count in enumerate(_way_counts(c["coins"], 40)) if count == 0]


def _single_way(c: Constants) -> list[int]:
    """Return the values of coins that cannot be paid with other coins; at least the two smallest."""
    return [coin for coin in c["coins"] if _way_counts(c["coins"], 40)[coin] == 1]


# --- load-the-cart ---------------------------------------------------------------------------------------------------


def _load_cart(c: Constants, room: int, parcels: list[tuple[int, int]]) -> str:
    best = (0, 0, 0)
    for mask in range(1 << len(parcels)):
        if mask.bit_count() > c["most"]:
            continue
        weight = value = 0
        for i, (w, v) in enumerate(parcels):
            if mask >> i & 1:
                weight += w
                value += v
        if weight <= room:
            best = max(best, (value + c["bonus"] * (mask.bit_count() == c["most"]), -weight, mask.bit_count()))
    return lines(f"{best[0]} {-best[1]}")


def _one_at_a_time(rng: Random, c: Constants) -> Arguments:
    """Only one parcel fits at a time; the lighter, the more it is worth."""
    room, number = rng.randint(16, 40), rng.randint(2, 4)
    weights = sorted(distinct(rng, number, room // 2 + 1, room))
    return room, list(zip(weights, sorted(distinct(rng, number, 5, 60), reverse=True), strict=True))


def _parcels(rng: Random, c: Constants, number: int, weight: int, value: int) -> Arguments:
    parcels = list(zip(numbers(rng, number, 1, weight), numbers(rng, number, 1, value), strict=True))
    return rng.randint(weight, max(weight, number * weight // 3)), parcels


def _equal_values(rng: Random, c: Constants) -> Arguments:
    """The heaviest come first, and all are worth the same."""
    weights = sorted(distinct(rng, c["most"] + 2, 2, 25), reverse=True)
    return rng.randint(100, 150), [(weight, value) for value in [rng.randint(5, 50)] for weight in weights]


def _small_and_big(rng: Random, c: Constants) -> Arguments:
    """The small parcel is worth more for its weight, but there is no room for the big one beside it."""
    room = rng.randint(18, 24)
    return room, [(room, 4 * room), (small := rng.randint(1, 4), 5 * small), (room - 1, 3 * room)]


LOAD_CART = Template(
    name="load-the-cart",
    band="hard",
    choices={"most": (3, 4), "bonus": range(5, 31)},
    statement="""
Load a cart with parcels. The weights of the loaded parcels must not exceed the room of the cart, and at most $most
parcels may be loaded. The load is worth the sum of the values of its parcels; if exactly $most parcels are loaded, it
is worth $bonus more.

Input: the first line holds the number n of parcels (1 to 9) and the room of the cart (1 to 200). Each of the next n
lines holds the weight (1 to 50) and the value (1 to 100) of a parcel.

Output: one line with two numbers: the highest worth of a load, and the smallest weight of a load of that worth.
""",
    reference="""
n, room = map(int, input().split())
best = [{} for _ in range($most + 1)]
best[0][0] = 0
for _ in range(n):
    weight, value = map(int, input().split())
    for count in range($most - 1, -1, -1):
        for load, worth in list(best[count].items()):
            total = load + weight
            if total <= room and best[count + 1].get(total, -1) < worth + value:
                best[count + 1][total] = worth + value
answer = (0, 0)
for count in range($most + 1):
    for load, worth in best[count].items():
        if count == $most:
            worth += $bonus
        answer = max(answer, (worth, -load))
print(answer[0], -answer[1])
""",
    wrong=(
        ("for count in range($most - 1, -1, -1):", "for count in range($most):"),
        ("        if count == $most:\n            worth += $bonus\n", ""),
        ("(worth, -load))", "(worth, -load), key=lambda found: found[0])"),
        """
n, room = map(int, input().split())
parcels = [tuple(map(int, input().split())) for _ in range(n)]
parcels.sort(key=lambda parcel: -parcel[1] / parcel[0])
weight = value = count = 0
for w, v in parcels:
    if count < $most and weight + w <= room:
        weight += w
        value += v
        count += 1
if count == $most:
    value += $bonus
print(value, weight)
""",
    ),
    solve=_load_cart,
    layout=lambda room, parcels: lines(f"{len(parcels)} {room}", *map(spaced, parcels)),
    draws=(
        _one_at_a_time,
        _equal_values,
        lambda rng, c: _parcels(rng, c, rng.randint(4, 6), 12, 15),
        lambda rng, c: _parcels(rng, c, rng.randint(4, 6), 20, 60),
        lambda rng, c: _parcels(rng, c, 7, 6, 4),
        _small_and_big,
    ),
)

TEMPLATES = (TYPING_COST, ODD_COINS, LOAD_CART)
