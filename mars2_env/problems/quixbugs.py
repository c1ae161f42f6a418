"""QuixBugs (Lin et al. 2017): 40 Python programs with a bug in one line, to be repaired. An evaluation set.

Read are a checkout of github.com/jkoppel/QuixBugs or an archive of it (`.tar.gz`), which is never unpacked: its files
are read in memory, and nothing in them is run here. Tested on the real archive.

Each problem has the buggy program as its `seed_program`, so it is the root of the tree: nobody wrote it, it costs no
budget and earns no credit, and it counts as a parent. The reference is the corrected program. The statement is the text
at the end of the buggy program.

hidden: every official test, but the two that the benchmark's own test files skip as too slow (one of `knapsack`, one of
`levenshtein`). Most are lines of JSON. Those of the nine graph problems are pytest files, which are read assignment by
assignment, not run. Comparison is that of the benchmark's own test files: what Python calls equal (checker
`python_equality`), for `sqrt` what is within its second argument, and for `hanoi`, whose moves are tuples that JSON
holds as lists, the judge's default, to which these are the same.

public: the examples of the statement, else the first two tests.

Eight programs take or return what is no plain data: linked nodes, or a generator. Their problems have an entry function
of ours, `run`, at the end of the program, which builds the nodes from plain data (or makes a list of the generator) and
calls the program's own function; seed and reference contain it, and the statement says so.

All 40 corrected programs pass, and each buggy one fails a hidden test. `levenshtein`, which takes 1.5 s when it is
right, has 10 s of CPU time instead of 3.
"""

from __future__ import annotations

import ast
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mars2_env.base.texts import well_formed
from mars2_env.errors import ConfigError, ProblemError
from mars2_env.problems.asserts import CallTest, NotReadableError, parsed, quotable, read_examples, value
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.groups import grouped
from mars2_env.problems.records import Place, from_json_text, read_whole
from mars2_env.types import Call, Limits, Problem, TestCase

MAX_MEMBER_BYTES: Final = 2**20
MAX_MEMBERS: Final = 10_000

_FOLDERS: Final = ("python_programs", "correct_python_programs", "python_testcases", "json_testcases")


def load(*, path: str | None = None, split: str | None = None) -> ProblemSet:
    """Load QuixBugs.

    Args:
        path: A checkout, or an archive of one.
        split: "test", the only one there is.

    Raises:
        ConfigError: there is no such split or file, or no path.
        ProblemError: the archive or a file in it is malformed; names file and line.
    """
    info = SETS["quixbugs"]
    chosen, use = info.choose(split)
    if path is None:
        raise ConfigError(f"quixbugs: give path=FOLDER or path=ARCHIVE.tar.gz of a checkout of {info.home}.")
    files = _folder(path) if Path(path).is_dir() else _archive(path)
    names = sorted(
        PurePosixPath(name).stem
        for name in files
        if name.startswith("python_programs/")
        and f"correct_{name}" in files
        and not name.endswith(("_test.py", "/node.py"))
    )
    if not names:
        raise ProblemError(f"{path}: there are no programs in python_programs/ and correct_python_programs/.")
    problems = []
    for name in names:
        try:
            problem = _problem(path, files, name)
        except NotReadableError as error:
            raise ProblemError(f"{path}, program {name!r}: {error}") from error
        tests = [TestCase(test.arguments, test.expected) for test in problem.tests]
        groups = grouped(name, use, tests, [TestCase(test.arguments, test.expected) for test in problem.shown])
        if isinstance(groups, str):
            raise ProblemError(f"{path}, program {name!r}: {groups}.")
        public, _, hidden = groups
        problems.append(
            Problem(
                f"QuixBugs/{name}",
                well_formed(problem.statement),
                interface=Call(problem.function),
                public=public,
                hidden=hidden,
                checker=_CHECKERS.get(name, "python_equality"),
                limits=_LIMITS if name in _SLOW else Limits(),
                reference=problem.reference,
                seed_program=problem.seed,
            )
        )
    return ProblemSet(
        "quixbugs", tuple(problems), chosen, use, provenance=info.provenance(*([path] if Path(path).is_file() else []))
    )


def _folder(path: str) -> dict[str, str]:
    found = {}
    for folder in _FOLDERS:
        for file in sorted((Path(path) / folder).glob("*.*")):
            if file.suffix in (".py", ".json") and file.is_file() and file.stat().st_size <= MAX_MEMBER_BYTES:
                found[f"{folder}/{file.name}"] = _text(path, file.name, file.read_bytes())
    return found


def _archive(path: str) -> dict[str, str]:
    """Return the texts of an archive's regular files in the folders that matter; links and all else are passed over."""
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(read_whole(path)), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise ProblemError(f"{path}: more than {MAX_MEMBERS} files in the archive.")
                name = PurePosixPath(member.name)
                if not member.isreg() or name.parent.name not in _FOLDERS or name.suffix not in (".py", ".json"):
                    continue
                if member.size > MAX_MEMBER_BYTES:
                    raise ProblemError(f"{path}: {member.name} has {member.size} bytes; at most {MAX_MEMBER_BYTES}.")
                content = archive.extractfile(member)
                if content is not None:
                    found[f"{name.parent.name}/{name.name}"] = _text(path, member.name, content.read())
    except (tarfile.TarError, EOFError) as error:
        raise ProblemError(f"{path}: not a tar archive ({error}).") from error
    return found


def _text(path: str, name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path}: {name} is not UTF-8 text: {error}.") from None


@dataclass(frozen=True, slots=True)
class _Found:
    function: str
    statement: str
    seed: str
    reference: str
    tests: list[CallTest]
    shown: list[CallTest]


def _problem(path: str, files: dict[str, str], name: str) -> _Found:
    buggy, description = _described(files[f"python_programs/{name}.py"])
    correct = files[f"correct_python_programs/{name}.py"]
    tests = _tests(path, files, name)
    statement = f"The program below has a bug in one line. Correct it.\n\n{description.strip()}"
    if name not in _ENTRIES:
        shown = quotable(read_examples(description, name), tests)
        return _Found(name, statement, buggy.rstrip() + "\n", correct.rstrip() + "\n", tests, shown)
    entry = _ENTRIES[name]
    statement += f"\n\nThe tests call `run`, at the end of the program; leave it as it is. {entry.meaning}"
    node = files.get("python_testcases/node.py", "").strip() + "\n\n\n" if entry.nodes else ""

    def whole(program: str) -> str:
        return f"{node}{program.strip()}\n\n\n{entry.code.strip()}\n"

    return _Found("run", statement, whole(buggy), whole(correct), tests, [])


def _described(source: str) -> tuple[str, str]:
    """Return a program without the text at its end, and that text."""
    last = parsed(source).body[-1]
    match last:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return "\n".join(source.split("\n")[: last.lineno - 1]), text
    raise NotReadableError("the buggy program does not end in a text that describes it.")


def _tests(path: str, files: dict[str, str], name: str) -> list[CallTest]:
    pytest_file = files.get(f"python_testcases/test_{name}.py", "")
    lines = files.get(f"json_testcases/{name}.json")
    if lines is None:
        return _Reader(name, parsed(pytest_file)).tests
    too_slow = _skipped(parsed(pytest_file))
    tests = []
    for number, line in enumerate(lines.split("\n"), 1):
        if not line.strip():
            continue
        place = Place(f"{path}: json_testcases/{name}.json", number)
        match from_json_text(place, "", line):
            case [list() as arguments, expected]:
                pass
            case [argument, expected]:
                arguments = [argument]
            case _:
                place.fail("", f"{line[:80]!r} is not [arguments, expected].")
        if arguments not in too_slow:
            tests.append(CallTest(arguments, expected))
    return tests


def _skipped(tree: ast.Module) -> list[Any]:
    """Return the inputs that a test file skips: `if ... input_data == [...]: pytest.skip(...)`."""
    return [
        value(compare.comparators[0])
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "pytest.skip" in ast.unparse(branch.body[0])
        for compare in ast.walk(branch.test)
        if isinstance(compare, ast.Compare) and ast.unparse(compare.left) == "input_data"
    ]


@dataclass(eq=False, slots=True)
class _Node:
    """What the test files' class `Node` is to the reader of them."""

    value: Any = None
    successor: _Node | None = None
    successors: list[_Node] = field(default_factory=list)
    predecessors: list[_Node] = field(default_factory=list)
    incoming_nodes: list[_Node] = field(default_factory=list)
    outgoing_nodes: list[_Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Result:
    """Stands for what a call of the function under test returns."""

    arguments: list[Any]


class _Reader:
    """Reads a pytest file whose tests build nodes, call the function once each and assert something about the result.

    Module level first, then the tests in their order, which share its names and objects, as pytest runs them.
    """

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.tests: list[CallTest] = []
        names: dict[str, Any] = {}
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                self._assign(statement, names)
        for function in functions:
            local = dict(names)
            for statement in function.body:
                self._statement(statement, local)

    def _statement(self, statement: ast.stmt, names: dict[str, Any]) -> None:
        match statement:
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign():
                self._assign(statement, names)
            case ast.While(
                test=ast.Name(id=result), body=[ast.Expr(value=ast.Call(func=ast.Attribute())) as first, *_]
            ):
                # `while result: output.append(result.value); ...`: the list of the values of the returned nodes.
                names[ast.unparse(first.value.func.value)] = names[result]  # type: ignore[attr-defined]
            case ast.Assert(test=ast.Name(id=result)):
                self._add(names[result], True)
            case ast.Assert(test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=result))):
                self._add(names[result], [] if self.name == "reverse_linked_list" else False)
            case ast.Assert(test=ast.Compare(left=ast.Name(id=result), ops=[ast.Eq()], comparators=[right])):
                expected = self._value(right, names)
                if not isinstance(expected, _Node):  # which node comes first is told by the list of values
                    self._add(names[result], expected)
            case _:
                raise NotReadableError(f"the test file has a statement of an unknown form: {ast.unparse(statement)!r}.")

    def _add(self, result: Any, expected: Any) -> None:
        if not isinstance(result, _Result):
            raise NotReadableError("a test asserts something about another thing than the result.")
        test = CallTest(result.arguments, expected)
        if test not in self.tests[-1:]:
            self.tests.append(test)

    def _assign(self, statement: ast.Assign, names: dict[str, Any]) -> None:
        found = self._value(statement.value, names)
        match statement.targets:
            case [ast.Name(id=name)]:
                names[name] = found
            case [ast.Attribute(value=ast.Name(id=name), attr=attribute)] if isinstance(names.get(name), _Node):
                if attribute not in _Node.__slots__:
                    raise NotReadableError(f"a node has no {attribute!r}.")
                setattr(names[name], attribute, found)
            case _:
                raise NotReadableError(f"{ast.unparse(statement)!r} is an assignment of an unknown form.")

    def _value(self, node: ast.expr, names: dict[str, Any]) -> Any:
        match node:
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.List(elts=items):
                return [self._value(item, names) for item in items]
            case ast.Tuple(elts=items):
                return tuple(self._value(item, names) for item in items)
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = zip(keys, values, strict=True)
                return {self._value(key, names): self._value(item, names) for key, item in pairs if key is not None}
            case ast.Call(func=ast.Name(id="Node"), args=arguments, keywords=[]):
                return _Node(*[self._value(argument, names) for argument in arguments])
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name == self.name:
                given = [self._value(argument, names) for argument in arguments]
                return _Result(_ENTRIES[name].plain(*given) if name in _ENTRIES else given)
            case ast.ListComp(
                elt=ast.Attribute(attr="value"), generators=[ast.comprehension(iter=ast.Call() as call, ifs=[])]
            ):
                return self._value(call, names)
        return value(node)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry function: its code, what its arguments mean, and how a test file's arguments become those."""

    code: str
    meaning: str
    plain: Callable[..., list[Any]] = lambda *arguments: list(arguments)
    nodes: bool = True


def _reachable(start: _Node, *others: _Node) -> list[_Node]:
    found: list[_Node] = []
    pending = [start, *others]
    while pending:
        node = pending.pop(0)
        if all(node is not other for other in found):
            found.append(node)
            pending += node.successors
            if node.successor is not None:
                pending.append(node.successor)
    return found


def _edges(nodes: list[_Node], attribute: str) -> dict[Any, Any]:
    return {node.value: [other.value for other in getattr(node, attribute)] for node in nodes}


def _search(start: _Node, goal: _Node) -> list[Any]:
    return [_edges(_reachable(start, goal), "successors"), start.value, goal.value]


def _chain(start: _Node) -> list[Any]:
    nodes = _reachable(start)
    return [{node.value: None if node.successor is None else node.successor.value for node in nodes}, start.value]


def _values(head: _Node | None) -> list[Any]:
    return [[] if head is None else [node.value for node in _reachable(head)]]


def _order(nodes: list[_Node]) -> list[Any]:
    return [[node.value for node in nodes], _edges(nodes, "outgoing_nodes"), _edges(nodes, "incoming_nodes")]


def _lengths(length_by_edge: dict[tuple[_Node, _Node], Any], start: _Node, goal: _Node) -> list[Any]:
    nodes = _reachable(start, goal, *(node for edge in length_by_edge for node in edge))
    lengths = {(a.value, b.value): length for (a, b), length in length_by_edge.items()}
    return [lengths, _edges(nodes, "successors"), start.value, goal.value]


_SEARCH: Final = """
def run(successors, start, goal):
    nodes = {name: Node(name) for name in successors}
    for name, others in successors.items():
        nodes[name].successors = [nodes[other] for other in others]
    return bool({function}(nodes[start], nodes[goal]))
"""
_SEARCH_MEANING: Final = (
    "Its arguments are the successors of each node by name, the name of the start node and that of the goal node."
)

_ENTRIES: Final = {
    "breadth_first_search": _Entry(_SEARCH.replace("{function}", "breadth_first_search"), _SEARCH_MEANING, _search),
    "depth_first_search": _Entry(_SEARCH.replace("{function}", "depth_first_search"), _SEARCH_MEANING, _search),
    "detect_cycle": _Entry(
        """
def run(successor, start):
    nodes = {name: Node(name) for name in successor}
    for name, other in successor.items():
        nodes[name].successor = None if other is None else nodes[other]
    return bool(detect_cycle(nodes[start]))
""",
        "Its arguments are the successor of each node by name (None at the end of the list) and the name of the head.",
        _chain,
    ),
    "reverse_linked_list": _Entry(
        """
def run(values):
    head = None
    for value in reversed(values):
        head = Node(value, head)
    result, output = reverse_linked_list(head), []
    while result and len(output) <= len(values):
        output.append(result.value)
        result = result.successor
    return output
""",
        "Its argument is the list of the nodes' values, and it returns the values of the list that comes back.",
        _values,
    ),
    "topological_ordering": _Entry(
        """
def run(names, outgoing, incoming):
    nodes = {name: Node(name) for name in names}
    for name in names:
        nodes[name].outgoing_nodes = [nodes[other] for other in outgoing[name]]
        nodes[name].incoming_nodes = [nodes[other] for other in incoming[name]]
    return [node.value for node in topological_ordering([nodes[name] for name in names])]
""",
        "Its arguments are the nodes' names, and by name the ends of outgoing and the starts of incoming edges.",
        _order,
    ),
    "shortest_path_length": _Entry(
        """
def run(lengths, successors, start, goal):
    nodes = {name: Node(name) for name in successors}
    for name, others in successors.items():
        nodes[name].successors = [nodes[other] for other in others]
    length_by_edge = {(nodes[a], nodes[b]): length for (a, b), length in lengths.items()}
    return shortest_path_length(length_by_edge, nodes[start], nodes[goal])
""",
        "Its arguments are the lengths of edges by pairs of names, the successors of each node by name, and the names "
        "of the start and the goal node.",
        _lengths,
    ),
    "flatten": _Entry(
        "\ndef run(arr):\n    return list(flatten(arr))\n", "It returns the items as a list.", nodes=False
    ),
    "kheapsort": _Entry(
        "\ndef run(arr, k):\n    return list(kheapsort(arr, k))\n", "It returns the items as a list.", nodes=False
    ),
}

_SLOW: Final = ("levenshtein",)
_LIMITS: Final = Limits(cpu_seconds=10.0, wall_seconds=60.0)

_CHECKERS: Final[dict[str, str | None]] = {"hanoi": None, "sqrt": "within_last_argument"}
