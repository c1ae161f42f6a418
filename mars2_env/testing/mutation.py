"""Plausible slips in a program: where one can be made, making some, and finding which ones a program has.

A program is seen as a reference program plus at most one slip at each node of its syntax tree. Places come in families
(`FAMILIES`), so that a simulated author can be good at one kind and bad at another. Slips that would only make a
`while` loop run for ever are not offered, since judging those is slow and says little.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from mars2_env.errors import ProblemError
from mars2_env.prompt.programs import parse

FAMILIES: Final = (
    "arguments",
    "arithmetic",
    "boundary",
    "comparison",
    "condition",
    "constant",
    "initial",
    "return",
    "statement",
)
"""arguments: two arguments swapped, `min` for `max`. arithmetic: another operator. boundary: a range, slice or index
off by one. comparison: another comparison operator. condition: a condition negated, `and` for `or`. constant: a number
off by one. initial: the same where a variable gets its first value. return: nothing returned. statement: one left out.
"""

Change: TypeAlias = Callable[[Any], ast.AST]
Slips: TypeAlias = Mapping[int, int]
"""Which slips a program has: number of the site -> number of the variant there."""


@dataclass(frozen=True, slots=True)
class Site:
    """A node of a reference program where a slip can be made; each variant turns a copy of the node into another."""

    number: int
    family: str
    variants: tuple[Change, ...]


_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_NAMES: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}
_SYMMETRIC: Final = frozenset({"min", "max", "isinstance", "gcd", "zip", "print", "hasattr", "getattr", "range"})


class Reference:
    """A reference program and the places in it where a slip can be made.

    Args:
        program: the reference program.

    Raises:
        ProblemError: it does not parse, or has no statement in which a slip could be made.
    """

    def __init__(self, program: str) -> None:
        tree = parse(program)
        again = parse(ast.unparse(tree)) if tree is not None else None
        if again is None:
            raise ProblemError(f"a reference program does not parse as Python: {program[:80]!r}.")
        # As `ast.unparse` writes it, so that what is written parses back to what was meant.
        self._tree = again
        self._sites: dict[int, Site] = {}
        found = list(_sites(again, _Place())) or list(_any_statement(again))
        for number, (node, family, variants) in enumerate(found):
            self._sites[id(node)] = Site(number, family, variants)
        self.sites: tuple[Site, ...] = tuple(self._sites.values())
        if not self.sites:
            raise ProblemError(f"a reference program has no statement in which a slip could be made: {program[:80]!r}.")

    def write(self, slips: Slips) -> str:
        """Return the reference program with these slips; without any, the reference itself as Python formats it."""
        return ast.unparse(ast.fix_missing_locations(self._build(self._tree, slips))) + "\n"

    def slips(self, program: str) -> dict[int, int] | None:
        """Return the slips that turn the reference into `program`; None if it is not the reference with slips.

        Layout and comments do not count. A slip inside a statement that is left out cannot be seen, and is not there.
        """
        tree = parse(program)
        return None if tree is None else self._match(self._tree, tree, {})

    def _build(self, node: ast.AST, slips: Slips) -> ast.AST:
        built = copy.copy(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.AST):
                setattr(built, field, self._build(value, slips))
            elif isinstance(value, list):
                setattr(built, field, [self._build(v, slips) if isinstance(v, ast.AST) else v for v in value])
        site = self._sites.get(id(node))
        if site is None or site.number not in slips:
            return built
        return site.variants[slips[site.number]](built)

    def _match(self, node: ast.AST, other: ast.AST, known: _Known) -> dict[int, int] | None:
        key = (id(node), id(other))
        if key not in known:
            # The nodes are kept with what is known of them, so that no later node is given their ids.
            known[key] = (node, other, self._match_anew(node, other, known))
        return known[key][2]

    def _match_anew(self, node: ast.AST, other: ast.AST, known: _Known) -> dict[int, int] | None:
        found = self._match_fields(node, other, known)
        site = self._sites.get(id(node))
        if found is not None or site is None:
            return found
        for number, variant in enumerate(site.variants):
            # The copy's children are the reference's own nodes, whose sites are still known; the copy itself has none.
            found = self._match_fields(variant(copy.copy(node)), other, known)
            if found is not None:
                return {**found, site.number: number}
        return None

    def _match_fields(self, node: ast.AST, other: ast.AST, known: _Known) -> dict[int, int] | None:
        if type(node) is not type(other):
            return None
        slips: dict[int, int] = {}
        for field in node._fields:
            mine, theirs = getattr(node, field, None), getattr(other, field, None)
            pairs = [(mine, theirs)]
            if isinstance(mine, list) and isinstance(theirs, list):
                if len(mine) != len(theirs):
                    return None
                pairs = list(zip(mine, theirs, strict=True))
            for one, two in pairs:
                if isinstance(one, ast.AST) and isinstance(two, ast.AST):
                    found = self._match(one, two, known)
                    if found is None:
                        return None
                    slips.update(found)
                elif type(one) is not type(two) or one != two:
                    return None
        return slips


_Known: TypeAlias = dict[tuple[int, int], tuple[ast.AST, ast.AST, dict[int, int] | None]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: what part it plays for its parent, and which names steer the enclosing `while` loops."""

    part: str = ""
    steering: frozenset[str] = frozenset()


Found: TypeAlias = tuple[ast.AST, str, tuple[Change, ...]]


def _sites(node: ast.AST, place: _Place) -> Iterator[Found]:
    """Yield every node where a slip can be made, in the order of the text."""
    if isinstance(node, ast.While):
        endless = isinstance(node.test, ast.Constant)
        steering = place.steering | _names(node.test) | (_assigned(node) if endless else set())
        for statement in [*node.body, *node.orelse]:
            yield from _sites(statement, _Place("", steering))
        return
    if place.steering and isinstance(node, ast.Assign | ast.AugAssign | ast.Expr) and _names(node) & place.steering:
        return
    found = _slip(node, place)
    if found is not None:
        yield (node, *found)
    leaves = bool(place.steering) and isinstance(node, ast.If) and any(_is_exit(child) for child in ast.walk(node))
    for child, part in _children(node, place.part):
        if not (leaves and part == "test"):
            yield from _sites(child, _Place(part, place.steering))


def _slip(node: ast.AST, place: _Place) -> tuple[str, tuple[Change, ...]] | None:
    """Return the family and variants of the slip at a node; None where there is none."""
    match node:
        case ast.Constant(value=value) if type(value) is int:
            family = place.part if place.part in ("boundary", "initial") else "constant"
            return family, (_number(value + 1), _number(value - 1))
        case ast.expr() if place.part == "boundary" and not isinstance(node, ast.UnaryOp | ast.Constant):
            return "boundary", (_shifted(ast.Add), _shifted(ast.Sub))
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            return "comparison", (_with("ops", [_COMPARISONS[type(op)]()]),)
        case ast.BoolOp(op=op):
            return "condition", (_with("op", ast.Or() if isinstance(op, ast.And) else ast.And()),)
        case ast.expr() if place.part == "test":
            return "condition", (_negated,)
        case ast.BinOp(op=op) if type(op) in _OPERATORS and not _is_text(node):
            return "arithmetic", (_with("op", _OPERATORS[type(op)]()),)
        case ast.AugAssign(op=op) if type(op) in _OPERATORS:
            return "arithmetic", (_with("op", _OPERATORS[type(op)]()),)
        case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
            return "arguments", (_with("func", ast.Name(_NAMES[name], ast.Load())),)
        case ast.Call(args=[first, second], keywords=[]) if _called(node) not in _SYMMETRIC:
            if isinstance(first, ast.Starred) or isinstance(second, ast.Starred) or ast.dump(first) == ast.dump(second):
                return None
            return "arguments", (_swapped,)
        case ast.Return(value=ast.expr()):
            return "return", (_with("value", None),)
        case ast.Expr(value=ast.Call()):
            return "statement", (_left_out,)
        case _:
            return None


def _children(node: ast.AST, part: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield the children in which slips are looked for, with the part each plays; `part` is the node's own."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST):
                yield child, _part(node, part, field, index)


def _part(node: ast.AST, part: str, field: str, index: int) -> str:
    match node:
        case ast.Slice() if field != "step":
            return "boundary"
        case ast.Subscript(slice=ast.Constant()) if field == "slice":
            return "boundary"
        case ast.Call(func=ast.Name(id="range")) if field == "args" and index < 2:
            return "boundary"
        case ast.Assign() | ast.AnnAssign() if field == "value":
            return "initial"
        case ast.Tuple() if part == "initial":
            return "initial"
        case _:
            return "test" if field in ("test", "ifs") else ""


def _any_statement(tree: ast.Module) -> Iterator[Found]:
    """Yield the statements that can be left out of a program in which nothing else can go wrong."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Pass
        ):
            yield node, "statement", (_left_out,)


def _number(value: int) -> Change:
    # As Python parses it: a negative number is a minus sign and a number.
    number: ast.expr = ast.Constant(abs(value))
    return lambda node: ast.UnaryOp(ast.USub(), number) if value < 0 else number


def _shifted(operator: type[ast.operator]) -> Change:
    return lambda node: ast.BinOp(node, operator(), ast.Constant(1))


def _with(field: str, value: Any) -> Change:
    def change(node: Any) -> ast.AST:
        setattr(node, field, value)
        changed: ast.AST = node
        return changed

    return change


def _negated(node: Any) -> ast.AST:
    return ast.UnaryOp(ast.Not(), node)


def _swapped(node: Any) -> ast.AST:
    node.args = node.args[::-1]
    swapped: ast.AST = node
    return swapped


def _left_out(node: Any) -> ast.AST:
    return ast.Pass()


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(child.id for child in ast.walk(node) if isinstance(child, ast.Name))


def _assigned(node: ast.AST) -> frozenset[str]:
    return frozenset(c.id for c in ast.walk(node) if isinstance(c, ast.Name) and isinstance(c.ctx, ast.Store))


def _is_exit(node: ast.AST) -> bool:
    return isinstance(node, ast.Break | ast.Return | ast.Raise)


def families(sites: Iterable[Site]) -> dict[str, list[Site]]:
    """Return the sites by family, families in alphabetical order."""
    grouped: dict[str, list[Site]] = {}
    for site in sites:
        grouped.setdefault(site.family, []).append(site)
    return {name: grouped[name] for name in sorted(grouped)}
