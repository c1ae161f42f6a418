"""Paths that a file says, relative to its own folder, made right wherever they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mars2_env.base.spec import parse_spec, write_spec


def placed_by(file: Path) -> Callable[[str], str]:
    """Return what makes paths in a file, which are relative to its folder, right everywhere."""
    folder = Path(os.path.abspath(file)).parent

    def placed(path: str) -> str:
        return os.path.normpath(folder / Path(path).expanduser())

    return placed


def set_with_path(name: str, placed: Callable[[str], str]) -> str:
    """Return the name of a problem set with its path changed, if it is a file."""
    return placed(name) if name.endswith((".jsonl", ".jsonl.gz")) else name


def spec_with_paths(text: str, placed: Callable[[str], str]) -> str:
    """Return a spec with its paths changed: the bank of `replay`, and what begins with `./` or `../`.

    Nothing else is known to be a path: `hf:org/name` is a name on a hub.
    """
    spec = parse_spec(text, "policy")

    def changed(value: str) -> str:
        return placed(value) if value.startswith(("./", "../")) else value

    rest = placed(spec.rest) if spec.name == "replay" and spec.rest else changed(spec.rest)
    return write_spec(replace(spec, rest=rest, options={name: changed(value) for name, value in spec.options.items()}))
