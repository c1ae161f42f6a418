"""A run, a tree and a node for a terminal, as `mars2 show` prints them.

Whatever a program, a problem or a model wrote is passed through `printable` and is never markup.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mars2_env.base.texts import printable, printable_line
from mars2_env.episode.events import Told
from mars2_env.log import Trace, Tree
from mars2_env.log.page import by_place
from mars2_env.prompt import feedback_text
from mars2_env.types import GROUPS, Node

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree as Branch

Hidden = Mapping[int, bool | None]
"""Number of a node -> whether it passes the hidden tests; None where nobody has graded it."""

_DEEPEST: Final = 24
"""Nodes below this depth stand beside each other and name their parents: a chain would run out of the page."""


def trees_table(trees: Sequence[Tree], hidden: Sequence[Hidden] | None = None) -> Table:
    """Return the trees of a run as a table, a row each; with a column of hidden verdicts where these are given."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    seeds = len({tree.seed for tree in trees}) > 1
    for name in ("problem", *(["seed"] if seeds else []), "nodes", "best score", "solved by (public)", "ended"):
        table.add_column(name)
    if hidden is not None:
        table.add_column("hidden tests")
    for place, tree in enumerate(trees):
        first = next((node for node in tree.nodes if _passes(node, "public")), None)
        ended = "cut off" if tree.ended is None else f"{tree.ended}{f' ({tree.detail})' if tree.detail else ''}"
        row = [
            printable_line(tree.problem),
            *([str(tree.seed)] if seeds else []),
            str(len(tree.nodes)),
            f"{tree.best_score:.2f}",
            "-" if first is None else f"{printable_line(first.agent)} at #{first.id}",
            printable_line(ended),
        ]
        if hidden is not None:
            row.append(_of_tree(tree, hidden[place]))
        table.add_row(*map(Text, row))
    return table


def _of_tree(tree: Tree, hidden: Hidden) -> str:
    """Return in words how a tree does on hidden tests."""
    if any(passed is None for passed in hidden.values()):
        return "not graded yet"
    passing = f"{sum(map(bool, hidden.values()))} of {len(tree.nodes)} nodes pass"
    if tree.answer is None:
        return f"no answer; {passing}"
    return f"answer {'passes' if hidden[tree.answer] else 'fails'}; {passing}"


def _passes(node: Node, group: str) -> bool:
    outcomes = node.verdict.groups.get(group, ())
    return bool(outcomes) and all(outcome == "passed" for outcome in outcomes)


def tree_view(tree: Tree, traces: Mapping[int, Trace], hidden: Hidden | None = None) -> Branch:
    """Return a tree with a line for each node, children below their parents; the answer is marked."""
    from rich.text import Text
    from rich.tree import Tree as Branch

    title = f"{printable_line(tree.problem)}, seed {tree.seed}: {len(tree.nodes)} nodes, best {tree.best_score:.2f}"
    title += f", {tree.ended or 'cut off'}{f' ({tree.detail})' if tree.detail else ''}"
    shown = Branch(Text(printable_line(title), style="bold"))
    if tree.root is not None:
        shown.add(Text(f"#0 given {tree.root.verdict.outcome} {tree.root.score:.2f}"))
    turns = _turns(tree)
    branches = {0: shown}
    for node in by_place(tree.nodes):
        line = _line(tree, node, traces.get(turns.get(node.id, -1)), hidden)
        if node.depth > _DEEPEST:
            line.append(f"  (child of #{node.parent})", style="dim")
            branches[node.id] = branches[node.parent]
            branches[node.parent].add(line)
        else:
            branches[node.id] = branches[node.parent].add(line)
    return shown


def _turns(tree: Tree) -> dict[int, int]:
    """Return number of a node -> the turn that made it."""
    return {event.node: event.turn for event in tree.events if isinstance(event, Told) and event.node is not None}


def _line(tree: Tree, node: Node, trace: Trace | None, hidden: Hidden | None) -> Text:
    from rich.text import Text

    outcome = node.verdict.outcome
    style = "green" if outcome == "passed" else "yellow" if outcome in ("no_program", "illegal") else "red"
    line = Text(f"#{node.id} {printable_line(node.agent)} ")
    line.append(f"{outcome} {node.score:.2f}", style=style)
    if node.id == tree.answer:
        line.append("  <- answer", style="bold")
    public = node.verdict.groups.get("public", ())
    if public:
        line.append(f"  {sum(one == 'passed' for one in public)} of {len(public)} public tests")
    if node.duplicate_of is not None:
        line.append(f"  = #{node.duplicate_of}", style="dim")
    if node.model_score is not None:
        line.append(f"  model {node.model_score:.2f}")
    if trace is not None and trace.completion_tokens:
        line.append(f"  {trace.completion_tokens} tokens", style="dim")
    if hidden is not None:
        line.append(f"  hidden: {_in_a_word(hidden.get(node.id))}", style="cyan")
    return line


def _in_a_word(passed: bool | None) -> str:
    return "not graded" if passed is None else "passes" if passed else "fails"


def node_view(
    tree: Tree,
    node: Node,
    traces: Mapping[int, Trace],
    hidden: Hidden | None = None,
    *,
    diff: bool = False,
    brief: bool = False,
    colour: bool = True,
) -> Iterator[RenderableType]:
    """Yield a node piece by piece: where it stands, its verdict test by test, its program, its feedback.

    Args:
        tree: the tree.
        node: the node; the root (number 0) of a repair problem too.
        traces: what each turn cost, by turn.
        hidden: hidden verdicts, where they are to be shown.
        diff: whether a program is shown as what it changes in its parent's, where its parent has one.
        brief: whether program and feedback of a copy are left out: its original has the same.
        colour: whether programs are highlighted.
    """
    from rich.text import Text

    yield Text()
    who = f"{printable_line(node.agent)}, child of #{node.parent}" if node.id else "given"
    yield Text(f"#{node.id}  {who}, depth {node.depth}", style="bold")
    yield Text(f"{node.verdict.outcome}, score {node.score:.2f}")
    for group in GROUPS:
        if outcomes := node.verdict.groups.get(group, ()):
            yield Text(f"{group} tests: {_runs(outcomes)}")
    if hidden is not None and node.id:
        yield Text(f"hidden tests: {_in_a_word(hidden.get(node.id))}", style="cyan")
    trace = traces.get(_turns(tree).get(node.id, -1))
    if trace is not None:
        tokens = (
            f"{trace.prompt_tokens} tokens read, {trace.completion_tokens} written; " if trace.prompt_tokens else ""
        )
        yield Text(f"{tokens}{trace.policy_seconds:.2f} s in the model, {trace.judge_seconds:.2f} s in the judge")
    if node.duplicate_of is not None:
        yield Text(f"the same program as #{node.duplicate_of}")
        if brief:
            return
    if node.program is None:
        yield Text("There is no program in the reply:")
        yield Text(printable(node.reply))
    else:
        parent = _program_of(tree, node.parent)
        if diff and parent is not None:
            yield from _changes(parent, node.program)
        else:
            yield _numbered(printable(node.program), colour)
    if node.verdict.feedback is not None:
        yield Text("Feedback:", style="bold")
        yield Text(printable(feedback_text(node.verdict.feedback)))


def _runs(outcomes: Sequence[str]) -> str:
    """Return outcomes in listed order, those that repeat counted, such as `passed, 2 x not_run`."""
    found: list[tuple[str, int]] = []
    for outcome in outcomes:
        if found and found[-1][0] == outcome:
            found[-1] = (outcome, found[-1][1] + 1)
        else:
            found.append((outcome, 1))
    return ", ".join(outcome if count == 1 else f"{count} x {outcome}" for outcome, count in found)


def _program_of(tree: Tree, number: int) -> str | None:
    if number > 0:
        return tree.nodes[number - 1].program
    return None if tree.root is None else tree.root.program


def _numbered(program: str, colour: bool) -> RenderableType:
    """Return a program with its lines numbered."""
    from rich.syntax import Syntax
    from rich.text import Text

    program = program.rstrip("\n")
    if colour:
        return Syntax(program, "python", theme="ansi_dark", background_color="default", line_numbers=True)
    return Text("\n".join(f"{number:>4} {line}" for number, line in enumerate(program.split("\n"), start=1)))


def _changes(before: str, after: str) -> Iterator[Text]:
    """Yield the lines of a unified diff."""
    from rich.text import Text

    lines: Iterable[str] = difflib.unified_diff(
        printable(before).splitlines(), printable(after).splitlines(), "parent", "this", lineterm=""
    )
    styles = {"+": "green", "-": "red", "@": "dim"}
    for line in lines:
        yield Text(line, style=styles.get(line[:1], ""))
