"""Starter templates about grids of characters or numbers."""

from __future__ import annotations

from collections import deque
from random import Random

from mars2_env.problems.starter.material import lines, numbers
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

_SIDES = "[(0, 1), (0, -1), (1, 0), (-1, 0)]"
_ALL = "[(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]"
_NEIGHBOURS = (
    Term("its 4 neighbours (those that share a side with it)", _SIDES, _ALL),
    Term("its 8 neighbours (those that share a side or a corner with it)", _ALL, _SIDES),
)


def _steps(c: Constants) -> list[tuple[int, int]]:
    around = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    return [(a, b) for a, b in around if c["near"] is _NEIGHBOURS[1] or a * b == 0]


def _grid_text(rows: list[str]) -> str:
    return lines(f"{len(rows)} {len(rows[0])}", *rows)


def _random_rows(rng: Random, height: int, width: int, cells: str) -> list[str]:
    return ["".join(rng.choices(cells, k=width)) for _ in range(height)]


# --- danger-map ------------------------------------------------------------------------------------------------------


def _danger_map(c: Constants, rows: list[str]) -> str:
    pits = {(i, j) for i, row in enumerate(rows) for j, cell in enumerate(row) if cell == c["pit"]}

    def shown(i: int, j: int) -> str:
        near = sum((i + a, j + b) in pits for a, b in _steps(c))
        return c["pit"] if (i, j) in pits else c["alarm"] if near >= c["many"] else str(near)

    return lines(*("".join(shown(i, j) for j in range(len(row))) for i, row in enumerate(rows)))


def _lone_pit(rng: Random, c: Constants) -> Arguments:
    """One pit away from the rim of a square map; corner neighbours make the difference between 4 and 8."""
    size = rng.randint(5, 6)
    i, j = rng.randint(2, size - 2), rng.randint(2, size - 2)
    return (["." * size if n != i else "." * j + c["pit"] + "." * (size - j - 1) for n in range(size)],)


def _no_corner(rng: Random, c: Constants) -> Arguments:
    """A map of one row: only side neighbours exist."""
    return (_random_rows(rng, 1, rng.randint(4, 9), "..." + c["pit"]),)


def _pit_map(rng: Random, c: Constants, height: int, width: int) -> Arguments:
    return (_random_rows(rng, height, width, "." + c["pit"]),)


DANGER_MAP = Template(
    name="danger-map",
    band="medium",
    choices={"pit": tuple("*#@o"), "alarm": tuple("!X?"), "many": (2, 3), "near": _NEIGHBOURS},
    statement="""
Make a map of dangers. The input map has pits `$pit` and free cells `.`; for every free cell count the pits among
$near.

Input: the first line holds the height and the width of the map (1 to 20 each), then follow its rows.

Output: the map, in which each pit stays `$pit`, each free cell with $many or more pits near it is written `$alarm`, and
every other free cell is written as its count of pits.
""",
    reference="""
height, width = map(int, input().split())
rows = [input().strip() for _ in range(height)]
STEPS = $near
for i in range(height):
    line = ""
    for j in range(width):
        if rows[i][j] == $pit:
            line += $pit
            continue
        count = 0
        for a, b in STEPS:
            if 0 <= i + a < height and 0 <= j + b < width and rows[i + a][j + b] == $pit:
                count += 1
        if count >= $many:
            line += $alarm
        else:
            line += str(count)
    print(line)
""",
    wrong=(
        ("STEPS = $near", "STEPS = ${near_slip}"),
        ("if 0 <= i + a < height and 0 <= j + b < width and", "if i + a < height and j + b < width and"),
        ("if count >= $many:", "if count > $many:"),
        ("    for j in range(width):", "    for j in range(height):"),
    ),
    solve=_danger_map,
    layout=_grid_text,
    draws=(
        _lone_pit,
        _no_corner,
        lambda rng, c: _pit_map(rng, c, rng.randint(3, 5), rng.randint(3, 5)),
        lambda rng, c: _pit_map(rng, c, rng.randint(4, 9), 3),
        lambda rng, c: _pit_map(rng, c, rng.randint(2, 3), rng.randint(5, 12)),
    ),
)

# --- ring-sums -------------------------------------------------------------------------------------------------------


def _ring_sums(c: Constants, grid: list[list[int]]) -> list[int]:
    height, width = len(grid), len(grid[0])
    sums = [0] * ((min(height, width) + 1) // 2)
    for i, row in enumerate(grid):
        for j, value in enumerate(row):
            sums[min(i, j, height - 1 - i, width - 1 - j)] += value
    return [total * c["m"] if ring % 2 else total + c["b"] for ring, total in enumerate(sums)]


def _number_grid(rng: Random, height: int, width: int) -> Arguments:
    return ([numbers(rng, width, -9, 30) for _ in range(height)],)


RING_SUMS = Template(
    name="ring-sums",
    band="medium",
    choices={"m": range(2, 10), "b": range(1, 13)},
    signature="ring_sums(grid: list[list[int]]) -> list[int]",
    summary="Return the sum of each ring of the grid, from outside in: odd rings times $m, even rings plus $b.",
    statement="""
Write a function `ring_sums(grid)` that adds up the rings of a rectangular grid of numbers.

Ring 0 is made of all cells at the rim of the grid, ring 1 of all cells at the rim of what is left when ring 0 is taken
away, and so on, until no cell is left; the innermost ring may be a single cell, row or column. For each ring, from
outside in, add up its numbers. For rings 0, 2, 4, ... return the sum plus $b; for rings 1, 3, 5, ... the sum times $m.

`grid` is a list of 1 to 10 rows of equal length, each a list of 1 to 10 whole numbers from -100 to 100.
""",
    reference="""
def ring_sums(grid):
    top = 0
    left = 0
    bottom = len(grid) - 1
    right = len(grid[0]) - 1
    out = []
    while top <= bottom and left <= right:
        total = 0
        for i in range(top, bottom + 1):
            for j in range(left, right + 1):
                if i == top or i == bottom or j == left or j == right:
                    total += grid[i][j]
        if len(out) % 2 == 0:
            out.append(total + $b)
        else:
            out.append(total * $m)
        top += 1
        left += 1
        bottom -= 1
        right -= 1
    return out
""",
    wrong=(
        ("while top <= bottom and left <= right:", "while top < bottom and left < right:"),
        ("right = len(grid[0]) - 1", "right = len(grid) - 1"),
        ("total += grid[i][j]", "total += abs(grid[i][j])"),
        """
def ring_sums(grid):
    out = []
    height, width = len(grid), len(grid[0])
    for ring in range((min(height, width) + 1) // 2):
        rows = grid[ring:height - ring]
        cut = [row[ring:width - ring] for row in rows]
        total = sum(cut[0]) + sum(cut[-1]) + sum(row[0] + row[-1] for row in cut[1:-1])
        out.append(total * $m if ring % 2 else total + $b)
    return out
""",
    ),
    solve=_ring_sums,
    draws=(
        lambda rng, c: ([numbers(rng, 4, 1, 20) for _ in range(4)],),
        lambda rng, c: _number_grid(rng, 2, rng.randint(3, 5)),
        lambda rng, c: _number_grid(rng, n := rng.choice((3, 5, 7)), n),
        lambda rng, c: _number_grid(rng, rng.randint(3, 7), rng.randint(3, 7)),
        lambda rng, c: _number_grid(rng, rng.randint(1, 6), rng.randint(1, 3)),
    ),
)

# --- regions ---------------------------------------------------------------------------------------------------------


def _regions(c: Constants, rows: list[str]) -> str:
    left = {(i, j): cell for i, row in enumerate(rows) for j, cell in enumerate(row) if cell != c["empty"]}
    found: list[tuple[int, str]] = []
    while left:
        start, letter = next(iter(left.items()))
        edge, size = [start], 0
        del left[start]
        while edge:
            i, j = edge.pop()
            size += 1
            for at in ((i + a, j + b) for a, b in _steps(c)):
                if left.get(at) == letter:
                    del left[at]
                    edge.append(at)
        found.append((-size, letter))
    kept = sorted(region for region in found if -region[0] >= c["least"])
    return lines(*(f"{letter} {-size}" for size, letter in kept), len(found) - len(kept))


def _stripes(rng: Random, c: Constants) -> Arguments:
    """Full rows of different letters, each longer than the bound: corners change nothing."""
    width = rng.randint(c["least"] + 1, c["least"] + 3)
    return ([letter * width for letter in rng.sample("abcdefgh", rng.randint(2, 3))],)


def _patches(rng: Random, c: Constants, letters: str, height: int, width: int) -> Arguments:
    return (_random_rows(rng, height, width, letters),)


REGIONS = Template(
    name="regions",
    band="hard",
    choices={"empty": tuple(".-_~"), "least": range(2, 6), "near": _NEIGHBOURS},
    statement="""
Find the regions of a map. A cell is empty (`$empty`) or holds a lower-case letter. Two cells with the same letter are
in the same region if one can walk from one to the other over cells with that letter, where one step leads from a cell
to one of $near.

Input: the first line holds the height and the width of the map (1 to 20 each), then follow its rows.

Output: one line `letter size` for each region of at least $least cells. Larger regions come first; equally large ones
are in alphabetical order. Then one line with the number of regions that have fewer than $least cells.
""",
    reference="""
height, width = map(int, input().split())
rows = [input().strip() for _ in range(height)]
STEPS = $near
seen = set()
found = []
small = 0
for i in range(height):
    for j in range(width):
        letter = rows[i][j]
        if letter == $empty or (i, j) in seen:
            continue
        seen.add((i, j))
        stack = [(i, j)]
        size = 0
        while stack:
            x, y = stack.pop()
            size += 1
            for a, b in STEPS:
                p, q = x + a, y + b
                if 0 <= p < height and 0 <= q < width and (p, q) not in seen and rows[p][q] == letter:
                    seen.add((p, q))
                    stack.append((p, q))
        if size >= $least:
            found.append((letter, size))
        else:
            small += 1
found.sort(key=lambda region: (-region[1], region[0]))
for letter, size in found:
    print(letter, size)
print(small)
""",
    wrong=(
        ("STEPS = $near", "STEPS = ${near_slip}"),
        ("if size >= $least:", "if size > $least:"),
        ("found.sort(key=lambda region: (-region[1], region[0]))", "found.sort(key=lambda region: -region[1])"),
        ("if letter == $empty or (i, j) in seen:", "if (i, j) in seen:"),
    ),
    solve=_regions,
    layout=_grid_text,
    draws=(
        _stripes,
        lambda rng, c: _patches(rng, c, "ab", rng.randint(3, 4), rng.randint(4, 5)),
        lambda rng, c: _patches(rng, c, "zza" + c["empty"], rng.randint(3, 5), rng.randint(3, 6)),
        lambda rng, c: (
            [letter * c["least"] + c["empty"] for letter in sorted(rng.sample("mnopqrs", 3), reverse=True)],
        ),
        lambda rng, c: _patches(rng, c, "xyx" + c["empty"], rng.randint(5, 9), rng.randint(5, 9)),
    ),
)

# --- leaper ----------------------------------------------------------------------------------------------------------


def _leaper(c: Constants, rows: list[str]) -> str:
    height, width = len(rows), len(rows[0])
    jumps = {(s * x, t * y) for x, y in (c["jump"], c["jump"][::-1]) for s in (1, -1) for t in (1, -1)}
    far = {(0, 0): 0}
    ways = {(0, 0): 1}
    queue = deque([(0, 0)])
    while queue:
        at = queue.popleft()
        for a, b in jumps:
            to = (at[0] + a, at[1] + b)
            if not (0 <= to[0] < height and 0 <= to[1] < width) or rows[to[0]][to[1]] == c["wall"]:
                continue
            if to not in far:
                far[to] = far[at] + 1
                queue.append(to)
            if far[to] == far[at] + 1:
                ways[to] = ways.get(to, 0) + ways[at]
    goal = (height - 1, width - 1)
    return lines(f"{far[goal]} {ways[goal] % c['mod']} {len(far)}" if goal in far else f"{c['stuck']} {len(far)}")


def _floor(rng: Random, c: Constants, height: int, width: int, walls: float) -> Arguments:
    cells = [[c["wall"] if rng.random() < walls else "." for _ in range(width)] for _ in range(height)]
    cells[0][0] = cells[-1][-1] = "."
    return (["".join(row) for row in cells],)


def _one_jump(rng: Random, c: Constants) -> Arguments:
    """The goal is one jump away, or two in a line: exactly one way."""
    a, b = c["jump"]
    times = rng.randint(1, 2)
    return _floor(rng, c, 1 + a * times, 1 + b * times, 0.0 if times == 1 else rng.choice((0.1, 0.3)))


def _walled_in(rng: Random, c: Constants) -> Arguments:
    """All cells from which one jump leads to the goal are walls."""
    height, width = rng.randint(5, 9), rng.randint(5, 9)
    (rows,) = _floor(rng, c, height, width, 0.15)
    cells = [list(row) for row in rows]
    for up, left in (c["jump"], c["jump"][::-1]):
        cells[height - 1 - up][width - 1 - left] = c["wall"]
    return (["".join(row) for row in cells],)


def _many_ways(rng: Random, c: Constants) -> Arguments:
    """The goal is two jumps of each direction away, in any order."""
    size = 1 + 2 * sum(c["jump"])
    return _floor(rng, c, size, size, 0.02)


LEAPER = Template(
    name="leaper",
    band="hard",
    choices={
        "jump": ((1, 2), (1, 3), (2, 3)),
        "mod": (3, 5, 6),
        "wall": tuple("#X@"),
        "stuck": ("stuck", "never"),
    },
    statement="""
A leaper stands in the upper left cell of a floor and wants to get to the lower right cell. With jump lengths $jump it
moves, in one jump, by one of the two lengths along the rows and by the other along the columns, in any of the up to 8
directions. It must land on a free cell `.` of the floor; what lies between does not matter. Cells `$wall` are walls.

Input: the first line holds the height and the width of the floor (2 to 12 each), then follow its rows. The upper left
and the lower right cells are free and different.

Output: if the goal can be reached, the smallest number of jumps and the number of different ways to get there with that
many jumps, modulo $mod. If not, the word `$stuck`. Either way then, on the same line, the number of cells that the
leaper can reach with any number of jumps, its own included.
""",
    reference="""
from collections import deque

height, width = map(int, input().split())
rows = [input().strip() for _ in range(height)]
p, q = $jump
JUMPS = [(p, q), (p, -q), (-p, q), (-p, -q), (q, p), (q, -p), (-q, p), (-q, -p)]
far = {(0, 0): 0}
ways = {(0, 0): 1}
queue = deque([(0, 0)])
while queue:
    x, y = queue.popleft()
    for a, b in JUMPS:
        i, j = x + a, y + b
        if i < 0 or i >= height or j < 0 or j >= width or rows[i][j] == $wall:
            continue
        if (i, j) not in far:
            far[(i, j)] = far[(x, y)] + 1
            ways[(i, j)] = 0
            queue.append((i, j))
        if far[(i, j)] == far[(x, y)] + 1:
            ways[(i, j)] += ways[(x, y)]
goal = (height - 1, width - 1)
if goal in far:
    print(far[goal], ways[goal] % $mod, len(far))
else:
    print($stuck, len(far))
""",
    wrong=(
        ("ways[goal] % $mod, len(far)", "ways[goal], len(far)"),
        ("ways[(i, j)] += ways[(x, y)]", "ways[(i, j)] += 1"),
        ("print($stuck, len(far))", "print($stuck, len(far) - 1)"),
        ("ways[(i, j)] += ways[(x, y)]", "ways[(i, j)] = ways[(x, y)]"),
    ),
    solve=_leaper,
    layout=_grid_text,
    draws=(
        _one_jump,
        _walled_in,
        _many_ways,
        lambda rng, c: _floor(rng, c, rng.randint(10, 12), rng.randint(10, 12), 0.05),
        lambda rng, c: _floor(rng, c, rng.randint(6, 9), rng.randint(8, 12), 0.12),
    ),
)

TEMPLATES = (DANGER_MAP, RING_SUMS, REGIONS, LEAPER)
