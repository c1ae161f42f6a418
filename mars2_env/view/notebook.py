"""Trees in notebooks: the page of one tree in a frame that may run its script and nothing else.

The frame has no origin of its own, so that what is in it can reach neither the notebook nor what that is served with.
Where frames are not shown (untrusted notebooks, sites that print notebooks), the list of nodes below it is.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from mars2_env.base.texts import printable_line
from mars2_env.errors import Mars2Error
from mars2_env.log import Tree, read_trace
from mars2_env.log.page import show_trees_by

MOST: Final = 3_000_000
"""Bytes of a page that a cell shows; of a larger tree the list alone is shown. A notebook keeps all that it showed."""

_TROUBLE: Final = "in a notebook the tree alone is at hand; `mars2 view` on its run folder tells prompts too"


def tree_page(tree: Tree) -> bytes:
    """Return the page of one tree as one HTML file.

    Raises:
        LogError: its events do not make a tree.
    """
    # not before a tree is shown: every program that imports the library imports this file
    from mars2_env.view.page import index_of, page_of, run_record
    from mars2_env.view.runs import Run, made_of

    name = "tree" if tree.path is None else tree.path.parent.parent.name
    run = Run(Path(name), trouble=_TROUBLE)
    made = made_of(run, tree.header, tree.events, {} if tree.path is None else read_trace(tree.path), tree.path)
    index = index_of([run_record(run, tree.header, [made.summary])], [run.name])
    return page_of(f"{tree.problem} - mars2", index, [[made]], compressed_from=0)


def framed(tree: Tree, plain: str) -> str:
    """Return what a notebook shows of a tree: its page in a frame, and its list, folded, below.

    Args:
        tree: the tree.
        plain: its list as HTML, which is shown alone where the page cannot be made or is too large.
    """
    try:
        page = tree_page(tree)
    except (Mars2Error, OSError):
        return plain
    if len(page) > MOST:
        return plain
    title = escape(printable_line(f"the tree of {tree.problem}"), quote=True)
    return (
        f'<iframe title="{title}" sandbox="allow-scripts" srcdoc="{escape(page.decode(), quote=True)}" '
        'style="width:100%;height:640px;border:1px solid #8886;border-radius:8px"></iframe>'
        f"<details><summary>as a list</summary>{plain}</details>"
    )


def show_in_notebooks() -> None:
    """Have notebooks show trees by the viewer from now on."""
    show_trees_by(framed)
