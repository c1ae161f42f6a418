"""Notebooks as pages: their words and their code. Outputs are left to whoever runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def cells(notebook: Path) -> list[dict[str, Any]]:
    """Return the cells of a notebook file."""
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def page(notebook: Path) -> str:
    """Return a notebook as Markdown."""
    parts = []
    for cell in cells(notebook):
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
    parts.append(f"This page is the notebook `examples/notebooks/{notebook.name}`.")
    return "\n\n".join(parts) + "\n"
