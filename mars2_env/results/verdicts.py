"""What evaluations found earlier, kept in files of a run folder: never in a log, and never graded twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final, Generic, TypeVar

import msgspec

from mars2_env.base.journal import Journal, read_journal
from mars2_env.errors import LogError
from mars2_env.log import Tree

HIDDEN_FILE: Final = "hidden.jsonl"
AGREEMENT_FILE: Final = "agreement.jsonl"

Stored = TypeVar("Stored", "HiddenVerdict", "Agreement")


@dataclass(frozen=True, slots=True)
class HiddenVerdict:
    """Whether a program passes a problem's hidden tests; `key` stands for all that this depends on."""

    problem: str
    key: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """The node of a tree that is its answer by agreement; `key` stands for all that this depends on."""

    problem: str
    key: str
    answer: int | None


class Kept(Generic[Stored]):
    """What was found, by key; also in a file, where there is one, so that an evaluation goes on where it stopped.

    Args:
        path: the file; None keeps it in memory alone.
        kind: what is kept.
    """

    def __init__(self, path: Path | None, kind: type[Stored]) -> None:
        self._path = path
        found: Iterable[Stored] = () if path is None else read_journal(path, kind)
        try:
            self._known: dict[str, Stored] = {one.key: one for one in found}
        except LogError as error:
            raise LogError(f"{error} Delete that line, or the file: it holds nothing that is not found anew.") from None
        self._journal: Journal | None = None
        self._lock = Lock()

    def get(self, key: str) -> Stored | None:
        """Return what is known under a key."""
        return self._known.get(key)

    def add(self, one: Stored) -> None:
        """Keep what was found; safe to call from several threads."""
        self._known[one.key] = one
        if self._path is None:
            return
        with self._lock:
            if self._journal is None:
                self._journal = Journal(self._path)
            self._journal.append(msgspec.json.encode(one))

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._journal is not None:
            self._journal.close()


def key_of(tree: Tree, program: str) -> str:
    """Return a digest of the program and of what its verdict depends on besides."""
    task = tree.header.task
    parts = (tree.problem, tree.header.problems, tree.header.sandbox, task["limits"], task["strict_types"], program)
    return blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def kept_verdicts(known: Kept[HiddenVerdict], tree: Tree) -> dict[int, bool | None]:
    """Return number of a node -> whether it passes the hidden tests, as was found earlier; None where nobody has.

    A node without a program does not pass. Nothing is run: `mars2_env.evaluate` finds out.
    """
    found: dict[int, bool | None] = {}
    for node in tree.nodes:
        kept = None if node.program is None else known.get(key_of(tree, node.program))
        found[node.id] = False if node.program is None else None if kept is None else kept.passed
    for node in tree.nodes:  # an earlier equal program was graded in place of a copy
        if node.duplicate_of is not None:
            first = tree.root if node.duplicate_of == 0 else tree.nodes[node.duplicate_of - 1]
            kept = None if first is None else known.get(key_of(tree, first.program or ""))
            found[node.id] = None if kept is None else kept.passed
    return found
