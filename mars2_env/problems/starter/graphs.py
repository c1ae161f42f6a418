"""Starter templates about graphs: cheapest routes, orders of work, groups that join."""

from __future__ import annotations

from itertools import pairwise, permutations
from random import Random

from mars2_env.problems.starter.material import NAMES, lines, spaced
from mars2_env.problems.starter.template import Arguments, Constants, Template, Term

# --- toll-route ------------------------------------------------------------------------------------------------------


def _toll_route(c: Constants, n: int, roads: list[tuple[int, int, int]]) -> str:
    # The towns are few: settle costs and routes together, round by round (Bellman and Ford).
    best: dict[int, tuple[int, list[int]]] = {1: (0, [1])}
    for _ in range(n):
        for a, b, length in roads:
            for here, there in ((a, b), (b, a)):
                if here not in best or here == n:
                    continue
                cost, route = best[here]
                found = (cost + length + (c["toll"] if here != 1 else 0), [*route, there])
                if there not in best or found < best[there]:
                    best[there] = found
    if n not in best:
        return lines(f"{c['none']} {len(best)}")
    return lines(best[n][0], spaced(best[n][1]))


def _roads(rng: Random, n: int, number: int, longest: int) -> list[tuple[int, int, int]]:
    roads = {tuple(sorted(rng.sample(range(1, n + 1), 2))): rng.randint(1, longest) for _ in range(number)}
    return [(*rng.choice((ends, ends[::-1])), length) for ends, length in roads.items()]  # type: ignore[misc]


def _line_of_towns(rng: Random, c: Constants) -> Arguments:
    """One route from 1 to n, all roads written forward; a dead end beside it."""
    n = rng.randint(4, 6)
    roads = [(i, i + 1, rng.randint(1, 20)) for i in range(1, n - 1)]
    return n, [*roads, (n - 2, n, rng.randint(1, 9))]


def _toll_decides(rng: Random, c: Constants) -> Arguments:
    """A route of many short roads against one of few long ones that is cheaper by the toll alone."""
    step = rng.randint(1, 9)
    direct = 4 * step + rng.randint(1, 3 * c["toll"] - 1)
    return 5, [(1, 2, step), (2, 3, step), (3, 4, step), (4, 5, step), (5, 1, direct)]


def _equal_routes(rng: Random, c: Constants) -> Arguments:
    a, b = rng.randint(1, 30), rng.randint(1, 30)
    roads = [(1, 3, b), (3, 6, a), (4, 1, a), (6, 4, b), (2, 1, a + b), (2, 5, rng.randint(1, 9))]
    rng.shuffle(roads)
    return 6, roads


def _cut_off(rng: Random, c: Constants) -> Arguments:
    n = rng.randint(4, 12)
    return n, _roads(rng, n - 1, rng.randint(1, 2 * n), 30)


def _any_roads(rng: Random, c: Constants, n: int, number: int, longest: int) -> Arguments:
    return n, _roads(rng, n, number, longest)


TOLL_ROUTE = Template(
    name="toll-route",
    band="hard",
    choices={"toll": range(3, 31), "none": ("none", "cut")},
    statement="""
Find the cheapest route from town 1 to town n. Roads can be used in both directions and cost their length. For every
town that the route passes through, other than town 1 and town n, a toll of $toll is paid.

Input: the first line holds n (2 to 12) and the number m of roads (1 to 40). Each of the next m lines holds the two
towns that a road joins and its length (1 to 150). There is at most one road between two towns.

Output: if there is a route, two lines: the lowest cost, and the towns of the cheapest route from 1 to n, separated by
spaces. If several routes are cheapest, print the one that comes first when routes are compared town by town, as lists
of numbers. If there is no route, print one line: the word `$none` and the number of towns that can be reached from town
1, town 1 included.
""",
    reference="""
import heapq

n, m = map(int, input().split())
roads = {town: [] for town in range(1, n + 1)}
for _ in range(m):
    a, b, length = map(int, input().split())
    roads[a].append((b, length))
    roads[b].append((a, length))
heap = [(0, [1])]
done = {}
while heap:
    cost, route = heapq.heappop(heap)
    town = route[-1]
    if town in done:
        continue
    done[town] = (cost, route)
    toll = 0 if town == 1 else $toll
    for other, length in roads[town]:
        if other not in done:
            heapq.heappush(heap, (cost + toll + length, route + [other]))
if n in done:
    print(done[n][0])
    print(*done[n][1])
else:
    print($none, len(done))
""",
    wrong=(
        ("    roads[b].append((a, length))\n", ""),
        ("cost + toll + length, route + [other]", "cost + length, route + [other]"),
        ("print($none, len(done))", "print($none, len(done) - 1)"),
    ),
    solve=_toll_route,
    layout=lambda n, roads: lines(f"{n} {len(roads)}", *map(spaced, roads)),
    draws=(_line_of_towns, _toll_decides, _cut_off, _equal_routes, lambda rng, c: _any_roads(rng, c, 9, 18, 30)),
)

# --- work-plan -------------------------------------------------------------------------------------------------------


def _work_plan(c: Constants, needs: list[list[str]]) -> str:
    left = {name: set(before) for name, *before in needs}
    rows: list[str] = []
    while True:
        ready = [name for name, before in left.items() if not before & left.keys()]
        ready.sort(reverse=c["order"].words == "Z to A")
        if not ready:
            break
        today = ready[: c["hands"]]
        left = {name: before for name, before in left.items() if name not in today}
        rows.append(f"{len(rows) + 1} {spaced(today)}")
    return lines(*rows, *([f"{c['stuck']} {spaced(sorted(left))}"] if left else []))


def _tasks(rng: Random, number: int, likely: float) -> list[list[str]]:
    names = rng.sample(NAMES, number)
    needs = [[name, *(other for other in names[:i][-4:] if rng.random() < likely)] for i, name in enumerate(names)]
    rng.shuffle(needs)
    return needs


def _one_by_one(rng: Random, c: Constants) -> Arguments:
    names = rng.sample(NAMES, rng.randint(3, 5))
    return ([[names[0]], *([name, before] for before, name in pairwise(names))],)


def _all_ready(rng: Random, c: Constants) -> Arguments:
    return ([[name] for name in rng.sample(NAMES, c["hands"] + rng.randint(2, 4))],)


def _circular(rng: Random, c: Constants) -> Arguments:
    needs = _tasks(rng, rng.randint(5, 8), 0.3)
    a, b = needs[0][0], needs[1][0]
    needs[0] = [*dict.fromkeys([*needs[0], b])]
    needs[1] = [*dict.fromkeys([*needs[1], a])]
    return (needs,)


WORK_PLAN = Template(
    name="work-plan",
    band="hard",
    choices={
        "hands": (2, 3, 4),
        "order": (
            Term("A to Z", "ready.sort()"),
            Term("Z to A", "ready.sort(reverse=True)"),
        ),
        "stuck": ("stuck", "blocked", "waiting", "never", "cycle", "left"),
    },
    statement="""
Plan tasks day by day. A task is ready when all tasks it needs were done on earlier days. Each day the first $hands of
the ready tasks are done (all of them if there are fewer), where the ready tasks are ordered by name from $order.

Input: the first line holds n (1 to 20). Each of the next n lines holds the name of a task, followed by the names of the
tasks it needs (0 to 6 of the other tasks), separated by spaces.

Output: one line for each day until no task is ready: the number of the day, counted from 1, and the names of the tasks
done on that day in the order above. If there are tasks that can never be done, one more line follows: the
word `$stuck` and their names from A to Z.
""",
    reference="""
n = int(input())
needs = {}
for _ in range(n):
    name, *before = input().split()
    needs[name] = before
done = set()
day = 0
while len(done) < n:
    ready = []
    for name in needs:
        if name not in done and all(other in done for other in needs[name]):
            ready.append(name)
    if not ready:
        break
    $order
    today = ready[:$hands]
    day += 1
    print(day, *today)
    done.update(today)
if len(done) < n:
    print($stuck, *sorted(name for name in needs if name not in done))
""",
    wrong=(
        ("    $order\n", ""),
        ("today = ready[:$hands]", "today = ready"),
        ("if len(done) < n:\n    print($stuck, *sorted(name for name in needs if name not in done))", ""),
    ),
    solve=_work_plan,
    layout=lambda needs: lines(len(needs), *map(spaced, needs)),
    draws=(
        _one_by_one,
        lambda rng, c: (_tasks(rng, rng.randint(5, 7), 0.3),),
        _circular,
        _all_ready,
        lambda rng, c: (_tasks(rng, rng.randint(8, 16), 0.25),),
    ),
)

# --- circles-of-friends ----------------------------------------------------------------------------------------------


def _friends(c: Constants, n: int, events: list[tuple[str, int, int, int]]) -> str:
    circles = [{person} for person in range(1, n + 1)]
    rows = []
    for kind, a, b, strength in events:
        of_a = next(circle for circle in circles if a in circle)
        if kind == "ask":
            rows.append(f"{'yes' if b in of_a else 'no'} {len(of_a)}")
        elif strength >= c["bound"] and b not in of_a:
            of_b = next(circle for circle in circles if b in circle)
            circles.remove(of_b)
            of_a |= of_b
    sizes = sorted(map(len, circles), reverse=True)
    return lines(*rows, spaced([size for size in sizes if size >= c["least"]] or [c["none"]]))


def _meetings(rng: Random, c: Constants, n: int, pairs: list[tuple[int, int]], low: int, asks: int) -> Arguments:
    events = [("meet", a, b, rng.randint(low, c["bound"] + 20)) for a, b in pairs]
    for _ in range(asks):
        a, b = rng.sample(range(1, n + 1), 2)
        events.insert(rng.randint(len(events) // 2, len(events)), ("ask", a, b, 0))
    return n, events


def _any_pairs(rng: Random, n: int, number: int) -> list[tuple[int, int]]:
    return rng.choices(list(permutations(range(1, n + 1), 2)), k=number)


def _tree_pairs(rng: Random, n: int) -> list[tuple[int, int]]:
    """Each person meets one of higher number who has met nobody before: no circle is closed twice."""
    return [(i, i + 1) for i in range(1, n, rng.choice((1, 2)))]


def _smallest_circle(rng: Random, c: Constants) -> Arguments:
    """A circle of just the smallest size, of people whose sympathy is just enough; the others meet at random."""
    n, size = 9, c["least"]
    events = [("meet", i, i + 1, c["bound"]) for i in range(1, size)]
    others = [(a, b) for a, b in _any_pairs(rng, n, 12) if min(a, b) > size]
    return n, events + _meetings(rng, c, n, others, c["bound"] - 20, 4)[1]


FRIENDS = Template(
    name="circles-of-friends",
    band="hard",
    choices={"bound": range(20, 61), "least": (2, 3), "none": ("none", "alone")},
    statement="""
People meet and become friends. People who are friends, or friends of friends, and so on, form a circle; whoever has no
friends is a circle of one.

Input: the first line holds the number n of people (2 to 15; they are numbered from 1) and the number m of events (1 to
40). Each of the next m lines holds an event:

- `meet a b s`: a and b meet with sympathy s (0 to 100). They become friends if s is at least $bound.
- `ask a b`: print a line: `yes` if a and b are now in the same circle, else `no`; and then the size of the circle of a.

Output: the answers, and then one line with the sizes of all circles of at least $least people at the end, the largest
first, separated by spaces; or the word `$none` if there is no such circle.
""",
    reference="""
n, m = map(int, input().split())
parent = list(range(n + 1))
size = [1] * (n + 1)


def root(person):
    while parent[person] != person:
        person = parent[person]
    return person


for _ in range(m):
    kind, *numbers = input().split()
    a, b = int(numbers[0]), int(numbers[1])
    if kind == "ask":
        print("yes" if root(a) == root(b) else "no", size[root(a)])
        continue
    if int(numbers[2]) < $bound:
        continue
    first, second = root(a), root(b)
    if first != second:
        parent[second] = first
        size[first] += size[second]
sizes = [size[person] for person in range(1, n + 1) if parent[person] == person]
sizes = sorted([s for s in sizes if s >= $least], reverse=True)
if sizes:
    print(*sizes)
else:
    print($none)
""",
    wrong=(
        ("if int(numbers[2]) < $bound:", "if int(numbers[2]) <= $bound:"),
        ("    if first != second:\n", "    if a != b:\n"),
        ("size[first] += size[second]", "size[first] += 1"),
        ("if s >= $least]", "if s > $least]"),
    ),
    solve=_friends,
    layout=lambda n, events: lines(f"{n} {len(events)}", *(spaced(e if e[0] == "meet" else e[:3]) for e in events)),
    draws=(
        # Pairs of strangers, in star shape, above the bound, in circles above the smallest size.
        lambda rng, c: _meetings(
            rng, c, n := rng.randint(5, 8), [(1, other) for other in range(2, n)], c["bound"] + 1, rng.randint(1, 3)
        ),
        lambda rng, c: _meetings(rng, c, n := rng.randint(6, 9), _tree_pairs(rng, n), c["bound"] - 3, 3),
        lambda rng, c: _meetings(rng, c, 7, _any_pairs(rng, 7, 8), c["bound"] - 9, 3),
        lambda rng, c: _meetings(rng, c, n := rng.randint(5, 9), _any_pairs(rng, n, 2 * n), c["bound"], 4),
        _smallest_circle,
    ),
)

TEMPLATES = (TOLL_ROUTE, WORK_PLAN, FRIENDS)
