"""Starter templates about records: orders, stocks, sets of ids, sales."""

from __future__ import annotations

from collections import Counter, defaultdict
from random import Random

from mars2_env.problems.starter.material import GOODS, NAMES, lines, numbers, words
from mars2_env.problems.starter.template import Arguments, Constants, Template

# --- order-total -----------------------------------------------------------------------------------------------------


def _order_total(c: Constants, items: list[tuple[int, int]]) -> int:
    total: int = sum(price * (pieces - (pieces >= c["q"])) for price, pieces in items)
    return total - c["off"] if total >= c["bound"] else total


def _order(rng: Random, lines_: int, low: int, high: int, top: int) -> list[tuple[int, int]]:
    return list(zip(numbers(rng, lines_, 1, top), numbers(rng, lines_, low, high), strict=True))


def _exact_order(rng: Random, c: Constants) -> Arguments:
    rest = rng.randint(5, c["bound"] - 20)
    return ([(rest, 1), (c["bound"] - rest, 1)],)


ORDER_TOTAL = Template(
    name="order-total",
    band="easy",
    choices={"q": range(3, 7), "bound": range(200, 501, 50), "off": range(5, 31, 5)},
    signature="order_total(items: list[tuple[int, int]]) -> int",
    summary="Add price times pieces; one piece is free from $q pieces on; $off off from a total of $bound.",
    statement="""
Write a function `order_total(items)` that computes what an order costs.

`items` is a list of tuples (price of one piece, number of pieces). An item costs its price times its number of pieces,
but when there are $q or more pieces of it, one of them is free. If the sum over all items is $bound or more, $off is
taken off the sum, once.

There are 1 to 10 items; prices are from 1 to 1000, numbers of pieces from 1 to 12.
""",
    reference="""
def order_total(items):
    total = 0
    for price, pieces in items:
        if pieces >= $q:
            pieces -= 1
        total += price * pieces
    if total >= $bound:
        total -= $off
    return total
""",
    wrong=(
        ("if pieces >= $q:", "if pieces > $q:"),
        ("if total >= $bound:", "if total > $bound:"),
        ("    if total >= $bound:\n        total -= $off", "        if total >= $bound:\n            total -= $off"),
        ("            pieces -= 1", "            pieces -= pieces // $q"),
    ),
    solve=_order_total,
    draws=(
        lambda rng, c: (_order(rng, rng.randint(2, 4), 1, 2, 24),),
        lambda rng, c: ([*_order(rng, 2, 1, 2, 60), (rng.randint(100, 200), c["q"] + 1)],),
        lambda rng, c: ([(rng.randint(2, 90), c["q"]), *_order(rng, 2, 1, 6, 90)],),
        _exact_order,
        lambda rng, c: ([*_order(rng, rng.randint(2, 7), 1, 12, 200), (rng.randint(1, 99), 12)],),
    ),
)

# --- merge-stock -----------------------------------------------------------------------------------------------------


def _merge_stock(c: Constants, stock: dict[str, int], delivery: dict[str, int]) -> dict[str, int]:
    merged = Counter(stock) + Counter(delivery)
    return {name: min(merged[name], c["most"]) for name in [*stock, *delivery] if merged[name] >= c["least"]}


def _shelf(rng: Random, names: list[str], low: int, high: int) -> dict[str, int]:
    return dict(zip(names, numbers(rng, len(names), low, high), strict=True))


def _all_new(rng: Random, c: Constants) -> Arguments:
    names = rng.sample(GOODS, 5)
    middle = (c["least"] + 1, c["most"])
    return _shelf(rng, names[:3], *middle), _shelf(rng, names[3:], *middle)


def _all_known(rng: Random, c: Constants) -> Arguments:
    names = rng.sample(GOODS, 3)
    return _shelf(rng, names, 1, 9), _shelf(rng, names[:2], c["least"], 12)


def _any_stock(rng: Random, c: Constants) -> Arguments:
    names = rng.sample(GOODS, 7)
    exact = rng.randint(1, c["least"] - 1)
    stock = {names[0]: exact, **_shelf(rng, names[1:4], 1, c["most"]), names[4]: c["most"]}
    return stock, {names[0]: c["least"] - exact, **_shelf(rng, names[3:], 1, c["most"])}


MERGE_STOCK = Template(
    name="merge-stock",
    band="easy",
    choices={"least": range(3, 11), "most": range(25, 46)},
    signature="merge_stock(stock: dict[str, int], delivery: dict[str, int]) -> dict[str, int]",
    summary="Add a delivery to a stock; keep goods of at least $least pieces, and at most $most of each.",
    statement="""
Write a function `merge_stock(stock, delivery)`.

Both are dictionaries from the name of a good to a number of pieces. Return a new dictionary with the pieces of both
added up, for the goods of either. Goods that then have fewer than $least pieces are left out. Goods that have more than
$most pieces are kept with $most pieces. The order of the keys does not matter.

Each dictionary has 0 to 10 goods; numbers of pieces are from 1 to 100.
""",
    reference="""
def merge_stock(stock, delivery):
    result = dict(stock)
    for name, pieces in delivery.items():
        result[name] = result.get(name, 0) + pieces
    kept = {}
    for name, pieces in result.items():
        if pieces >= $least:
            kept[name] = min(pieces, $most)
    return kept
""",
    wrong=(
        ("if pieces >= $least:", "if pieces > $least:"),
        ("result[name] = result.get(name, 0) + pieces", "result[name] = pieces"),
        ("in delivery.items():\n", "in delivery.items():\n        if name in result:\n    "),
        ("min(pieces, $most)", "pieces"),
    ),
    solve=_merge_stock,
    draws=(_all_new, _all_known, _any_stock),
)

# --- shared-ids ------------------------------------------------------------------------------------------------------


def _shared_ids(c: Constants, left: set[int], right: set[int]) -> set[int]:
    special = {n for n in left ^ right if n % c["k"] == 0}
    return {n for n in (left & right) | special if n <= c["limit"]}


def _id_sets(rng: Random, c: Constants, special: str, high: int) -> Arguments:
    """Two sets with some ids in common; `special` says on which sides multiples of k may stand alone."""
    plain = [n for n in range(1, high) if n % c["k"]]
    both, left, right = (set(rng.sample(plain, n)) for n in (4, 3, 3))
    multiples = [n for n in range(c["k"], high, c["k"])]
    if "l" in special:
        left |= set(rng.sample(multiples, 2))
    if "r" in special:
        right |= set(rng.sample(multiples, 2))
    return both | left, both | right


SHARED_IDS = Template(
    name="shared-ids",
    band="easy",
    choices={"k": range(3, 9), "limit": range(50, 91, 5)},
    signature="shared_ids(left: set[int], right: set[int]) -> set[int]",
    summary="Return the ids up to $limit that are in both sets, or are multiples of $k in either.",
    statement="""
Write a function `shared_ids(left, right)` that returns the set of all numbers that

- are in both sets, or are a multiple of $k and in at least one of the two sets,
- and are not greater than $limit.

`left` and `right` are sets of 0 to 20 whole numbers from 1 to 150.
""",
    reference="""
def shared_ids(left, right):
    found = set()
    for n in left | right:
        if n > $limit:
            continue
        if n in left and n in right:
            found.add(n)
        elif n % $k == 0:
            found.add(n)
    return found
""",
    wrong=(
        ("        elif n % $k == 0:\n            found.add(n)\n", ""),
        ("elif n % $k == 0:", "elif n in left and n % $k == 0:"),
        ("        if n > $limit:\n            continue\n", ""),
        ("if n > $limit:", "if n >= $limit:"),
    ),
    solve=_shared_ids,
    draws=(
        lambda rng, c: _id_sets(rng, c, "", c["limit"]),
        lambda rng, c: _id_sets(rng, c, "l", c["limit"]),
        lambda rng, c: _id_sets(rng, c, "lr", c["limit"] + 60),
        lambda rng, c: tuple(ids | {c["limit"], c["limit"] + 1} for ids in _id_sets(rng, c, "r", 150)),
    ),
)

# --- sales-table -----------------------------------------------------------------------------------------------------


def _sales_table(c: Constants, sales: list[tuple[str, str, int]]) -> str:
    totals: defaultdict[str, int] = defaultdict(int)
    for shop, kind, amount in sales:
        totals[shop] += -amount if kind == c["back"] else amount
    kept = [(-total, shop) for shop, total in totals.items() if total >= c["least"]]
    return lines(*(f"{shop} {-total}" for total, shop in sorted(kept)))


def _sales(rng: Random, c: Constants, shops: list[str], number: int, low: int, high: int, back: int) -> Arguments:
    """A number of sales in random shops; about one in `back` is a return (none for 0)."""
    kinds = [c["back"] if back and not rng.randrange(back) else rng.choice(GOODS) for _ in range(number)]
    amounts = numbers(rng, number, low, high)
    return (list(zip(rng.choices(shops, k=number), kinds, amounts, strict=True)),)


def _even_sales(rng: Random, c: Constants) -> Arguments:
    """Ties in an order that is not the alphabet's, and one shop that just reaches the bound."""
    amount = c["least"] + rng.randint(1, 9)
    *shops, last = rng.sample(NAMES, 4)
    ties = [(shop, rng.choice(GOODS), amount) for shop in sorted(shops, reverse=True)]
    return ([*ties, (last, rng.choice(GOODS), c["least"] - 5), (last, rng.choice(GOODS), 5)],)


SALES_TABLE = Template(
    name="sales-table",
    band="medium",
    choices={"least": range(20, 41), "back": ("refund", "returned", "credit"), "none": ("none", "nothing")},
    statement="""
Make a table of sales by shop.

Input: the first line holds n (1 to 30). Each of the next n lines holds the name of a shop, the name of a good and an
amount (a whole number from 1 to 1000), separated by spaces. A line whose good is `$back` takes its amount away from the
shop's total; all others add to it.

Output: one line `shop total` for each shop whose total is at least $least. Higher totals come first; equal totals are
in alphabetical order of the shop. If there is no such shop, print `$none`.
""",
    reference="""
n = int(input())
totals = {}
for _ in range(n):
    shop, good, amount = input().split()
    amount = int(amount)
    if good == $back:
        amount = -amount
    totals[shop] = totals.get(shop, 0) + amount
rows = [(shop, total) for shop, total in totals.items() if total >= $least]
rows.sort(key=lambda row: (-row[1], row[0]))
for shop, total in rows:
    print(shop, total)
if not rows:
    print($none)
""",
    wrong=(
        ("key=lambda row: (-row[1], row[0])", "key=lambda row: -row[1]"),
        ("total >= $least", "total > $least"),
        ("    if good == $back:\n        amount = -amount\n", ""),
        ("key=lambda row: (-row[1], row[0])", "key=lambda row: str(row[1]), reverse=True"),
    ),
    solve=_sales_table,
    layout=lambda sales: lines(len(sales), *(" ".join(map(str, sale)) for sale in sales)),
    draws=(
        # Single sales of amounts between the bound and 99, so that they sort as texts like as numbers.
        lambda rng, c: (
            [(shop, rng.choice(GOODS), 50 + 9 * i) for i, shop in enumerate(rng.sample(NAMES, rng.randint(2, 4)))],
        ),
        lambda rng, c: _sales(rng, c, rng.sample(NAMES, 3), 6, c["least"], 150, 3),
        _even_sales,
        lambda rng, c: _sales(rng, c, rng.sample(NAMES, 5), rng.randint(8, 16), 5, 200, 4),
        lambda rng, c: _sales(rng, c, words(rng, 3, 1, 3), rng.randint(2, 8), 1, c["least"], 5),
    ),
)

TEMPLATES = (ORDER_TOTAL, MERGE_STOCK, SHARED_IDS, SALES_TABLE)
