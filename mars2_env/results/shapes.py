"""The shape of a program: its syntax tree without what is only named, and how far two such trees are apart.

Names that a program gives itself, its docstrings and its layout do not count; names of others (`sorted`, `.append`,
modules) do. Replies are hostile: nothing here recurses or runs them.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np

from mars2_env.prompt.syntax import parse
from mars2_env.results.paired import Floats

MOST_STEPS: Final = 5_000_000
"""How many steps a distance may take, a few seconds; larger pairs have none."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An ordered labelled tree in postorder.

    Attributes:
        labels: of each node, children before parents.
        leftmost: of each node, the place of the leftmost leaf below it.
    """

    labels: tuple[str, ...]
    leftmost: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keyroots(self) -> list[int]:
        """The highest node of each leftmost leaf, ascending."""
        return sorted({left: place for place, left in enumerate(self.leftmost)}.values())

    @property
    def subtrees(self) -> Counter[bytes]:
        """How often the tree has each subtree of two nodes and more, by digest; the tree itself if it is one node."""
        found: Counter[bytes] = Counter()
        done: list[bytes] = []  # the digests of finished subtrees whose parents are not
        begins: list[int] = []
        for label, left in zip(self.labels, self.leftmost, strict=True):
            below: list[bytes] = []
            while begins and begins[-1] >= left:
                below.append(done.pop())
                begins.pop()
            digest = blake2b(label.encode("utf-8", "surrogatepass"), digest_size=16)
            for child in below:
                digest.update(child)
            done.append(digest.digest())
            begins.append(left)
            if below or len(self.labels) == 1:
                found[done[-1]] += 1
        return found


def shape_of(program: str, *, constants: bool = False) -> Shape | None:
    """Return the shape of a program; None where Python does not parse it.

    Args:
        program: its text.
        constants: whether constants count by value; else by type alone.
    """
    tree = parse(program)
    if tree is None:
        return None
    own = _own_names(tree)
    labels: list[str] = []
    leftmost: list[int] = []
    stack: list[tuple[ast.AST, int]] = [(tree, -1)]  # a node, and where its first leaf is once its children are done
    while stack:
        node, begins = stack.pop()
        if begins < 0:
            stack.append((node, len(labels)))
            stack += [(child, -1) for child in reversed(_children(node))]
        else:
            labels.append(_label(node, own, constants))
            leftmost.append(begins)
    return Shape(tuple(labels), tuple(leftmost))


def _children(node: ast.AST) -> list[ast.AST]:
    return [
        child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context) and not _says(child)
    ]


def _says(node: ast.AST) -> bool:
    """Whether a statement is a text alone, as docstrings are."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _own_names(tree: ast.AST) -> set[str]:
    """Return the names that a program gives: those of its variables, functions, classes and arguments."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case _:
                pass
    return found


def _label(node: ast.AST, own: set[str], constants: bool) -> str:
    kind = type(node).__name__
    match node:
        case ast.Name(id=name):
            return kind if name in own else f"{kind} {name}"
        case ast.Constant(value=value):
            shown = (
                (hex(value) if type(value) is int else repr(value)) if constants else ""
            )  # long ones have no decimal
            return f"{kind} {type(value).__name__} {shown}"
        case ast.Attribute(attr=name) | ast.alias(name=name) | ast.keyword(arg=str(name)):
            return f"{kind} {name}"
        case ast.ImportFrom(module=name):
            return f"{kind} {name}"
        case _:
            return kind


def edit_distance(one: Shape, other: Shape) -> int | None:
    """Return how many nodes have to be inserted, removed or relabelled to make one ordered tree of the other.

    (Zhang and Shasha 1989, SIAM Journal on Computing 18, 1245.) Steps grow with the product of the sizes and depths;
    None for pairs that would take more than `MOST_STEPS`.
    """
    if one == other:
        return 0
    ours, theirs = one.keyroots, other.keyroots
    steps = [sum(root - tree.leftmost[root] + 1 for root in roots) for tree, roots in ((one, ours), (other, theirs))]
    if steps[0] * steps[1] > MOST_STEPS:
        return None
    between = [[0] * len(other) for _ in range(len(one))]  # distance of the subtrees below two nodes
    for root in ours:
        for other_root in theirs:
            _forests(one, other, root, other_root, between)
    return between[-1][-1]


def _forests(one: Shape, other: Shape, root: int, other_root: int, between: list[list[int]]) -> None:
    """Fill in the distances of the subtrees below two nodes' leftmost paths, from those of smaller ones."""
    first, other_first = one.leftmost[root], other.leftmost[other_root]
    places = [
        (place, other.leftmost[other_first + place] - other_first, other.labels[other_first + place])
        for place in range(other_root - other_first + 1)
    ]
    before = list(range(len(places) + 1))
    rows = [before]  # rows[i][j]: of the first i nodes of one and the first j of the other
    for node in range(first, root + 1):
        label, whole = one.labels[node], one.leftmost[node] == first
        base = rows[one.leftmost[node] - first]
        known = between[node][other_first : other_root + 1]
        least = node - first + 1
        row = [least]
        for place, left, other_label in places:  # comparisons in place of min(): this is where the time goes
            above = before[place + 1]
            least = (above if above < least else least) + 1
            if whole and not left:
                aside = before[place] + (label != other_label)
                if aside < least:
                    least = aside
                known[place] = least
            else:
                aside = base[left] + known[place]
                if aside < least:
                    least = aside
            row.append(least)
        between[node][other_first : other_root + 1] = known
        rows.append(row)
        before = row


def normalised_distance(one: Shape, other: Shape) -> float | None:
    """Return 2 d / (|one| + |other| + d), a metric from 0 to 1 (Li and Zhang 2011, Information Sciences 181, 4430)."""
    d = edit_distance(one, other)
    return None if d is None else 2 * d / (len(one) + len(other) + d)


def similarity(bags: Sequence[Counter[bytes]]) -> Floats:
    """Return the cosines of bags of subtrees, shape (n, n): positive semidefinite, with ones on the diagonal.

    The subtree kernel (Vishwanathan and Smola 2003, NIPS 15, 585), normalised.
    """
    columns = {key: place for place, key in enumerate(dict.fromkeys(key for bag in bags for key in bag))}
    counts = np.zeros((len(bags), len(columns)))
    for row, bag in enumerate(bags):
        for key, count in bag.items():
            counts[row, columns[key]] = count
    counts /= np.linalg.norm(counts, axis=1, keepdims=True)
    return np.asarray(counts @ counts.T, np.float64)
