"""Tests out of source text, read and never run: asserts and quoted examples become calls with expected values.

Data files carry their tests as Python code. Running that code on the host would run whatever the file says, so it is
parsed, and only expressions that are plainly values are evaluated, by a small evaluator with bounds: literals,
displays, arithmetic on numbers, concatenation and repetition, and a handful of constructors. All else is refused.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mars2_env.prompt.programs import syntax_tree

_MAX_BITS: Final = 10_000
_MAX_LENGTH: Final = 100_000
_MAX_SOURCE: Final = 2**20

_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], Any]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_BINARY: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_NUMBERS: Final = (bool, int, float, complex)
_SEQUENCES: Final = (str, bytes, list, tuple)
_CONSTRUCTORS: Final[dict[str, Callable[..., Any]]] = {
    constructor.__name__: constructor
    for constructor in (complex, dict, float, frozenset, len, list, round, set, str, tuple)
}


class NotReadableError(ValueError):
    """A piece of source text is not what can be read without running it; the message says which and why."""


@dataclass(frozen=True, slots=True)
class CallTest:
    """A call and the value expected of it.

    `tolerance` is the absolute error that the source allows, None where it compares otherwise; `checker` names the
    checker that compares as the source's assert does.
    """

    arguments: list[Any]
    expected: Any
    tolerance: float | None = None
    checker: str = "python_equality"


def common_checker(tests: Sequence[CallTest]) -> str:
    """Return the checker that compares as the asserts do; `==` where they compare in different ways.

    Of the ways that are known `==` accepts least, apart from `is`; a problem has one checker for all its tests.
    """
    checkers = {test.checker for test in tests}
    return next(iter(checkers)) if len(checkers) == 1 else "python_equality"


def parsed(source: str, mode: str = "exec", most: int = _MAX_SOURCE) -> Any:
    """Return the syntax tree of `source`, which has at most `most` characters.

    Raises:
        NotReadableError: it is not Python, or too large to be parsed safely.
    """
    if len(source) > most:
        raise NotReadableError(f"{len(source)} characters of source; at most {most} are read.")
    try:
        return syntax_tree(source, mode)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotReadableError(f"not Python: {error}") from None


def value(node: ast.expr) -> Any:
    """Return the value of an expression that is plainly one.

    Raises:
        NotReadableError: it is something else, or too large.
    """
    try:
        return _value(node)
    except NotReadableError:
        raise
    except (TypeError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        raise NotReadableError(f"{_source(node)} has no value: {error}") from None


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=constant) if constant is not Ellipsis:
            return constant
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item) for item in items)
        case ast.Set(elts=items):
            return {_value(item) for item in items}
        case ast.Dict(keys=keys, values=values):
            return {_value(_key(node, key)): _value(item) for key, item in zip(keys, values, strict=True)}
        case ast.UnaryOp(op=op, operand=operand):
            number = _value(operand)
            if isinstance(number, _NUMBERS) or isinstance(op, ast.Not):
                return _UNARY[type(op)](number)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _BINARY:
            return _binary(node, op, _value(left), _value(right))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _CONSTRUCTORS:
            return _CONSTRUCTORS[name](*[_value(argument) for argument in arguments])
    raise NotReadableError(f"{_source(node)} is not a plain value.")


def _key(node: ast.expr, key: ast.expr | None) -> ast.expr:
    if key is None:
        raise NotReadableError(f"{_source(node)} is not a plain value.")
    return key


def _binary(node: ast.expr, op: ast.operator, left: Any, right: Any) -> Any:
    numbers = isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS)
    if numbers and isinstance(op, ast.Pow):
        allowed = type(right) is not int or abs(right) * max(1, _bits(left)) <= _MAX_BITS
    elif numbers:
        allowed = _bits(left) + _bits(right) <= _MAX_BITS
    elif isinstance(op, ast.Add):
        allowed = type(left) is type(right) and isinstance(left, _SEQUENCES) and len(left) + len(right) <= _MAX_LENGTH
    elif isinstance(op, ast.Mult):
        sequence, times = (left, right) if isinstance(left, _SEQUENCES) else (right, left)
        allowed = isinstance(sequence, _SEQUENCES) and type(times) is int and len(sequence) * times <= _MAX_LENGTH
    else:
        allowed = False
    if not allowed:
        raise NotReadableError(f"{_source(node)} is not a plain value, or a very large one.")
    return _BINARY[type(op)](left, right)


def _bits(number: Any) -> int:
    return number.bit_length() if isinstance(number, int) else 64


def _source(node: ast.AST) -> str:
    try:
        text = ast.unparse(node)
    except RecursionError:
        return "a deeply nested expression"
    return text if len(text) <= 100 else text[:97] + "..."


class Floats(ast.NodeTransformer):
    """`inf` and `nan` (`math.inf`, `np.nan`), which the sources import, as expressions that are read."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Replace a bare name."""
        return _float(node.id) if node.id in ("inf", "nan") else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Replace a name of a module."""
        if (
            isinstance(node.value, ast.Name)
            and node.value.id in ("math", "np", "numpy")
            and node.attr in ("inf", "nan")
        ):
            return _float(node.attr)
        return node


def _float(name: str) -> ast.expr:
    return ast.Call(ast.Name("float"), [ast.Constant(name)], [])


def read_assert(statement: ast.Assert, function: str) -> CallTest | None:
    """Return the test that one assert about `function` makes; None for an assert of a mere constant.

    Read are `f(...) == y`, `y == f(...)`, `f(...) is True` (False, None), `f(...)`, `not f(...)`,
    `abs(f(...) - y) < eps` (`math.fabs`, `<=` too), and `tuple(f(...)) == y` or `list(f(...)) == y`. The test names the
    checker that compares in that way.

    Raises:
        NotReadableError: it is of another form.
    """
    match statement.test:
        case ast.Constant(value=constant) if constant:
            return None
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is() as by], comparators=[right]):
            for side, other in ((left, right), (right, left)):
                if arguments := _call(side, function):
                    return CallTest(arguments[0], value(other), checker=_compared(by, side, function))
        case ast.Compare(
            left=ast.Call(func=absolute, args=[ast.BinOp(left=left, op=ast.Sub(), right=right)], keywords=[]),
            ops=[ast.Lt() | ast.LtE()],
            comparators=[bound],
        ) if ast.unparse(absolute) in ("abs", "fabs", "math.fabs"):
            if arguments := _call(left, function):
                return CallTest(arguments[0], value(right), tolerance=float(value(bound)))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            if arguments := _call(operand, function):
                return CallTest(arguments[0], False, checker="python_truth")
        case test:
            if arguments := _call(test, function):
                return CallTest(arguments[0], True, checker="python_truth")
    raise NotReadableError(f"the form of `{_source(statement)}` is not known.")


def _compared(by: ast.cmpop, call: ast.expr, function: str) -> str:
    """Return the checker for `call == value` or `call is value`."""
    if isinstance(by, ast.Is):
        return "python_identity"
    wrapped = not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function)
    return "python_items" if wrapped else "python_equality"


def _call(node: ast.expr, function: str) -> tuple[list[Any]] | None:
    """Return the arguments, in a tuple of one, if `node` calls `function`; None if it does not."""
    match node:
        case ast.Call(func=ast.Name(id="tuple" | "list"), args=[inner], keywords=[]) if isinstance(inner, ast.Call):
            return _call(inner, function)
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name == function:
            return ([value(argument) for argument in arguments],)
    return None


def read_check(source: str) -> list[CallTest]:
    """Return the tests of a source whose function `check(candidate)` is made of asserts.

    Raises:
        NotReadableError: there is no such function, or it does anything else.
    """
    checks = [node for node in parsed(source).body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1 or len(checks[0].args.args) != 1:
        raise NotReadableError("there is no function `check(candidate)`.")
    function = checks[0].args.args[0].arg
    tests = []
    for statement in checks[0].body:
        match statement:
            case ast.Assert():
                test = read_assert(statement, function)
                if test is not None:
                    tests.append(test)
            case ast.Pass() | ast.Expr(value=ast.Constant() | ast.Name(id="print")):
                pass  # a text or a stray word: it tests nothing
            case _:
                raise NotReadableError(f"`{_source(statement)}` is not an assert.")
    if not tests:
        raise NotReadableError("`check` asserts nothing.")
    return tests


_ARROW: Final = re.compile(r"\s*(?:#\s*)?(?:==>|=>|==|=|->|➞|→|should\s+return\b|returns?\b)\s*")
_MAX_CALL_LINES: Final = 12
_WORDS: Final = {"true": True, "false": False}


def read_examples(text: str, function: str) -> list[CallTest]:
    """Return the examples of `function` that a problem statement quotes, in their order.

    Read are doctests (`>>> f(1)` with the value on the lines below, or `>>> f(1) == 2`) and one-liners such as
    `f(1) == 2`, `f(1) => 2`, `f(1) -> 1 + 1 = 2`, `f(1) ➞ 2`, `f(1) = 2`, `f(1) returns 2`, `f(1) should return 2.`;
    a call may span lines. What cannot be read is passed over: an example is not a promise.
    """
    lines = text.split("\n")
    opening = re.compile(rf"(?<![\w.]){re.escape(function)}\(")
    found = []
    for number, line in enumerate(lines):
        start = opening.search(line)
        if start is None or line.lstrip().startswith("def "):
            continue
        quoted = "\n".join((line[start.start() :], *lines[number + 1 : number + _MAX_CALL_LINES]))
        call = _leading_call(quoted, function)
        if call is None:
            continue
        arguments, rest = call
        lead = line[: start.start()].strip()
        same_line, _, below = rest.partition("\n")
        if lead == ">>>" and (not same_line.strip() or same_line.strip().startswith("#")):
            expected = _doctest_value(below)
        elif lead in ("", ">>>", "*", "-", "assert", "for") and (arrow := _ARROW.match(same_line)):
            expected = _stated_value(same_line[arrow.end() :])
        else:
            continue
        if expected is not None:
            found.append(CallTest(arguments, expected[0]))
    return found


def _leading_call(text: str, function: str) -> tuple[list[Any], str] | None:
    """Return the arguments of the call at the start of `text`, and what follows it."""
    for closing in re.finditer(r"\)", text[:5000]):
        try:
            tree = parsed(text[: closing.end()], "eval").body
        except NotReadableError:
            continue
        try:
            arguments = _call(tree, function)
        except NotReadableError:
            return None
        return None if arguments is None else (arguments[0], text[closing.end() :])
    return None


def _doctest_value(below: str) -> tuple[Any] | None:
    """Return the value printed below a doctest, in a tuple of one; nothing printed means None."""
    lines = []
    for line in below.split("\n"):
        text = line.strip()
        if not text or text.startswith((">>>", '"""', "'''")):
            break
        lines.append(text)
    if not lines:
        return (None,)
    for count in range(1, len(lines) + 1):
        try:
            return (value(parsed("\n".join(lines[:count]), "eval").body),)
        except NotReadableError:
            continue
    return None


def _stated_value(text: str) -> tuple[Any] | None:
    """Return the value stated after an arrow, in a tuple of one; of a chain `1 + 1 = 2` the last."""
    text = text.strip().removesuffix(".")
    for cut in (text, text.split(" (")[0], text.rpartition(" = ")[2]):
        if cut in _WORDS:
            return (_WORDS[cut],)
        try:
            return (value(parsed(cut.strip(), "eval").body),)
        except NotReadableError:
            continue
    return None


def quotable(examples: list[CallTest], tests: list[CallTest]) -> list[CallTest]:
    """Return the examples that can be right, each input once: no test says otherwise, and some test is of its type.

    Statements are careless of lists and tuples; the tests, which tell them apart, have the say.
    """
    kinds = {_kind(test.expected) for test in tests}
    kept: list[CallTest] = []
    for example in examples:
        if _kind(example.expected) not in kinds:
            continue
        known = [test.expected for test in tests if test.arguments == example.arguments]
        if all(_listed(expected) == _listed(example.expected) for expected in known) and not any(
            other.arguments == example.arguments for other in kept
        ):
            expected = known[0] if known else _of_kind(example.expected, {type(test.expected) for test in tests})
            kept.append(replace(example, expected=expected))
    return kept


def _kind(value: Any) -> type:
    kind = type(value)
    return {tuple: list, int: float}.get(kind, kind)


def _listed(value: Any) -> Any:
    """Return plain data with lists for tuples."""
    if isinstance(value, list | tuple):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value


def _of_kind(value: Any, kinds: set[type]) -> Any:
    """Return a list as a tuple, or the other way round, where that is what every test expects."""
    if isinstance(value, list | tuple) and kinds in ({list}, {tuple}):
        return kinds.pop()(value)
    return value
