"""Folders that are written whole or not at all, whatever ends the process meanwhile."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mars2_env.base.journal import refusing


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Make a folder that takes the target's place when the block is through; what is in it is on the disk by then.

    A kill leaves the target as it was, or absent in the one moment between two renames where there was one before, or
    new; and beside it perhaps a folder whose name begins with a dot.

    Raises:
        LogError: the disk is full, or the place cannot be written.
    """
    with refusing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        build = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            yield build
            for file in build.rglob("*"):
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
            build.chmod(0o755)
            old = None
            if target.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
                target.rename(old / target.name)
            build.rename(target)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(build, ignore_errors=True)
