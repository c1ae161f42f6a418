"""Where a result came from: the commit of this package's sources, and a digest of an algorithm's."""

from __future__ import annotations

import inspect
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

_PACKAGE: Final = Path(__file__).resolve().parents[1]


@cache
def commit(folder: Path = _PACKAGE) -> str:
    """Return the commit that a folder's sources are of, with a + where files were changed since; "" for no checkout."""
    head = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", "*.py", "*.jsonl")
    return head + "+" * bool(head and changed)


def _git(folder: Path, *words: str) -> str:
    """Return what git says; "" where it says nothing, or is not there."""
    try:
        done = subprocess.run(["git", "-C", folder, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def source_digest(factory: Any) -> str:
    """Return the SHA-256 of the Python files that a factory is made in: its file, and those beside it in its package.

    "" where there is no file, as for what was typed into an interpreter.
    """
    try:
        file = Path(inspect.getfile(factory))
    except (TypeError, OSError):
        return ""
    if not file.exists():
        return ""
    files = sorted(file.parent.glob("*.py")) if (file.parent / "__init__.py").exists() else [file]
    parts = [f"{one.name}\n".encode() + sha256(one.read_bytes()).digest() for one in files]
    return sha256(b"".join(parts)).hexdigest()
