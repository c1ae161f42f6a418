"""LeetCodeDataset (Xia et al. 2025, arXiv 2504.14655): Python problems of LeetCode with many tests each.

Read are its lines of JSON (`LeetCodeDataset-v0.3.1-train.jsonl.gz` and the like, all versions): task_id, entry_point
(`Solution().twoSum`), prompt (imports and classes), completion, test (`check(candidate)`, made of asserts), and the
statement and starter code, which older versions have in `meta`. Tested on records written by hand in that schema.

Splits: `train` (training) and `test` (evaluation).

The asserts are read, never run; arguments by keyword become positional ones by the order in the completion's `def`. The
statement shows the tests whose arguments are those of its "Input:" lines. A program defines `class Solution` with the
method. The harness puts `prompt` before each program, and so it is here (but for imports of packages that are not
installed); its imports are also the beginning of the starter code. The reference is prompt and completion.

Comparison is that of the asserts: what Python calls equal (checker `python_equality`; `assert candidate(...)` alone
asks for something true). `inf`, `-inf` and `nan` in asserts are the floats, which `prompt` imports or defines. CPU time
is 12 s, since some of the references take longer than the usual 3.

Left out ("tests that cannot be read"): problems whose tests need linked lists, trees or other objects
(`is_same_list(candidate(...), ...)`), or compare in another way than by `==`.
"""

from __future__ import annotations

import ast
import re
from typing import Final

import msgspec

from mars2_env.errors import ProblemError
from mars2_env.problems import preludes
from mars2_env.problems.asserts import CallTest, Floats, NotReadableError, common_checker, parsed, value
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import UNREADABLE, Collection, time_limits
from mars2_env.problems.hub import rows
from mars2_env.problems.records import Place, as_row
from mars2_env.types import Call, TestCase

_SECONDS: Final = 12.0
_FENCE: Final = re.compile(
    r"\n[^\n]*complete the following python code[^\n]*\n```.{0,20000}?```\s*", re.IGNORECASE | re.DOTALL
)
_INPUT: Final = re.compile(r"Input:?\**:?\s*(?P<arguments>[A-Za-z_]\w* = .+)")


class _Meta(msgspec.Struct):
    lang_code: str | None = None
    question_title: str | None = None
    query: str | None = None
    split: str | None = None


class _Row(msgspec.Struct):
    task_id: str
    entry_point: str
    test: str
    completion: str
    prompt: str = ""
    query: str | None = None
    starter_code: str | None = None
    problem_description: str | None = None
    meta: _Meta = msgspec.field(default_factory=_Meta)


def load(*, path: str | None = None, split: str | None = None, hub: str | None = None) -> ProblemSet:
    """Load one split of LeetCodeDataset.

    Args:
        path: The file; the hub's where it is left out.
        split: "train" or "test"; where the file's name tells it, it need not be said.
        hub: Another place on the hub.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: a record is malformed, or says that it is of another split; names file, record, field and value.
    """
    info = SETS["leetcode"]
    chosen, use = info.choose(split, path)
    found = Collection(info, chosen, use)
    for place, record in rows(info, path, chosen, hub):
        row = as_row(place, record, _Row)
        if row.meta.split not in (None, chosen):
            place.fail("meta.split", f"the record is of {row.meta.split!r}; the split {chosen!r} was asked for.")
        statement = _statement(place, row)
        try:
            method = _method(row)
            parameters = _parameters(row.completion, method)
            asserts = _tests(row.test, parameters)
            tests = [TestCase(test.arguments, test.expected) for test in asserts]
            interface = Call(method, preludes.of_source(row.prompt))
            starter = _starter(row)
        except (NotReadableError, ProblemError):
            found.leave_out(UNREADABLE)
            continue
        inputs = _shown(statement, parameters)
        found.add(
            place,
            row.task_id,
            statement,
            interface,
            tests,
            [test for test in tests if test.input in inputs],
            checker=common_checker(asserts),
            limits=time_limits(_SECONDS),
            starter_code=starter,
            reference=f"{row.prompt.rstrip()}\n\n\n{row.completion.strip()}\n".lstrip(),
        )
    return found.done(path)


def _statement(place: Place, row: _Row) -> str:
    text = row.problem_description or row.meta.question_title or row.query or row.meta.query
    if not text:
        place.fail("problem_description", "is missing (as are query and meta.question_title).")
    return _FENCE.sub("\n", text).strip() + "\n"


def _starter(row: _Row) -> str:
    """Return the imports of the prompt and the head of the class."""
    imports = [ast.unparse(node) for node in parsed(row.prompt).body if isinstance(node, ast.Import | ast.ImportFrom)]
    head = row.starter_code or row.meta.lang_code or "class Solution:\n"
    return "\n".join([*imports, "", "", head.strip(), ""]).lstrip()


def _method(row: _Row) -> str:
    name = row.entry_point.removeprefix("Solution().")
    if name == row.entry_point and "class Solution" in row.completion:
        raise NotReadableError(f"the entry point {row.entry_point!r} is no method of Solution().")
    return name


def _parameters(completion: str, method: str) -> list[str]:
    """Return the names of a method's parameters but `self`, or of a function's."""
    for node in ast.walk(parsed(completion)):
        if isinstance(node, ast.FunctionDef) and node.name == method:
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            return names[1:] if names[:1] == ["self"] else names
    raise NotReadableError(f"the completion defines no {method!r}.")


def _tests(source: str, parameters: list[str]) -> list[CallTest]:
    """Return the tests of `check(candidate)`: asserts of `candidate(...) == value`.

    Raises:
        NotReadableError: it holds anything else.
    """
    tests = []
    match Floats().visit(parsed(source)).body:
        case [*_, ast.FunctionDef(name="check", body=body)]:
            pass
        case _:
            raise NotReadableError("there is no function `check(candidate)`.")
    for statement in body:
        match statement:
            case ast.Assert(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id="candidate")) as call,
                    ops=[ast.Eq() | ast.Is() as by],
                    comparators=[right],
                )
            ):
                checker = "python_identity" if isinstance(by, ast.Is) else "python_equality"
                test = CallTest(_positional(call, parameters), value(right), checker=checker)
            case ast.Assert(test=ast.Call(func=ast.Name(id="candidate")) as call):
                test = CallTest(_positional(call, parameters), True, checker="python_truth")
            case ast.Assert(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call(func=ast.Name(id="candidate")) as call)):
                test = CallTest(_positional(call, parameters), False, checker="python_truth")
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                continue
            case _:
                raise NotReadableError(f"`{ast.unparse(statement)[:100]}` is of an unknown form.")
        tests.append(test)
    return tests


def _positional(call: ast.Call, parameters: list[str]) -> list[object]:
    names = [keyword.arg for keyword in call.keywords]
    if names != parameters[len(call.args) :][: len(names)]:
        by_name = {keyword.arg: keyword.value for keyword in call.keywords}
        wanted = parameters[len(call.args) : len(call.args) + len(names)]
        if set(by_name) != set(wanted):
            raise NotReadableError(f"`{ast.unparse(call)[:100]}` does not go with the parameters {parameters}.")
        return [value(argument) for argument in (*call.args, *(by_name[name] for name in wanted))]
    return [value(argument) for argument in (*call.args, *(keyword.value for keyword in call.keywords))]


def _shown(statement: str, parameters: list[str]) -> list[list[object]]:
    """Return the arguments of the statement's "Input:" lines, as far as they can be read."""
    found = []
    for match in _INPUT.finditer(statement):
        try:
            call = Floats().visit(parsed(f"f({match['arguments'].strip().rstrip('.')})", "eval")).body
            if isinstance(call, ast.Call):
                found.append(_positional(call, parameters))
        except NotReadableError:
            continue
    return found
