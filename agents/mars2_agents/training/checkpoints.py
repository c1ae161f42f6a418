"""Checkpoints: all that a training goes on from, written whole or not at all; JSON and safetensors, never a pickle.

    out/checkpoints/000012/state.json          step, states of Python's generator, what an algorithm remembers
    out/checkpoints/000012/learners/NAME/...   weights, optimiser, version (`Learner.save`)
    out/checkpoints/000012/buffers/NAME/...    what waits for an update, and the counts
    out/checkpoints/000012/random.safetensors  states of torch's generators

The position in the data is the step, since the problems of a step are a function of it. Trees in flight are the logs of
the step, inside which `rollout` goes on; so what a checkpoint lacks is made again, and is the same.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import torch
from safetensors.torch import load_file, save_file

from mars2_agents.learners.folders import written
from mars2_agents.learners.updating import Learns
from mars2_agents.training.buffers import Buffer
from mars2_env.base.journal import refusing
from mars2_env.errors import LogError

KEPT: Final = 2
"""How many checkpoints are kept; the older one is for the day on which the disk loses the newer."""

STATE: Final = "state.json"
RANDOM: Final = "random.safetensors"
SCHEMA: Final = 1

_DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, LogError)


@dataclass(frozen=True, slots=True)
class Place:
    """A checkpoint that was gone on from.

    Attributes:
        step: how many steps were done.
        path: its folder.
        memory: what the algorithm went by, of one that remembers something.
    """

    step: int
    path: Path
    memory: Mapping[str, Any] | None = None

    def set_random(self) -> None:
        """Give the generators of torch and of Python the states that they had.

        To be called last: to make models, and to load adapters, draws numbers that the run before did not draw.
        """
        try:
            _set_torch_states(load_file(self.path / RANDOM))
            _set_python_state(json.loads((self.path / STATE).read_text(encoding="utf-8"))["random"])
        except _DAMAGE as error:
            raise LogError(f"{self.path} cannot be gone on from: {error}.") from error


def folder_of(name: str) -> str:
    """Return the name of the folder of a policy."""
    return quote(name, safe=" ")


def checkpoints(out: Path) -> list[Path]:
    """Return the checkpoints of a training's folder, the oldest first."""
    folder = out / "checkpoints"
    return sorted(one for one in folder.iterdir() if one.name.isdecimal()) if folder.is_dir() else []


def save_checkpoint(
    out: Path,
    step: int,
    learners: Mapping[str, Learns],
    buffers: Mapping[str, Buffer],
    memory: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint, and let go of all but the last `KEPT`.

    Args:
        out: the training's folder.
        step: how many steps are done.
        learners: policy -> learner.
        buffers: policy -> buffer.
        memory: what the algorithm goes by, if it remembers anything.

    Raises:
        LogError: it cannot be written; then it is as if nothing had been.
    """
    with refusing(out / "checkpoints"), written(out / "checkpoints" / f"{step:06d}") as build:
        for name, learner in learners.items():
            learner.save(build / "learners" / folder_of(name))
        for name, buffer in buffers.items():
            buffer.save(build / "buffers" / folder_of(name))
        save_file(_torch_states(), build / RANDOM)
        told = {"schema": SCHEMA, "step": step, "random": _python_state(), "memory": memory}
        (build / STATE).write_text(json.dumps(told), encoding="utf-8")
    for old in checkpoints(out)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(out: Path, learners: Mapping[str, Learns], buffers: Mapping[str, Buffer]) -> Place | None:
    """Load learners and buffers from the last checkpoint of a training's folder, and return it; None where none is.

    Raises:
        LogError: it cannot be read.
    """
    _clear(out / "checkpoints")
    if not (found := checkpoints(out)):
        return None
    place = found[-1]
    try:
        told = json.loads((place / STATE).read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise ValueError(f"its schema is {told['schema']}, and this version reads {SCHEMA}")
        step = int(told["step"])
        for name, learner in learners.items():
            learner.load(place / "learners" / folder_of(name))
        for name, buffer in buffers.items():
            buffer.load(place / "buffers" / folder_of(name))
    except _DAMAGE as error:
        hint = ""
        if len(found) > 1:
            hint = f" Remove that folder to go on from the checkpoint before it, {found[-2].name}; nothing is lost."
        raise LogError(f"{place} cannot be gone on from: {error}.{hint}") from error
    return Place(step, place, told.get("memory"))


def _clear(folder: Path) -> None:
    """Remove what a kill left of folders that were being written."""
    for one in folder.glob(".*") if folder.is_dir() else ():
        shutil.rmtree(one, ignore_errors=True)


def _torch_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states |= {f"cuda.{place}": one for place, one in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _set_torch_states(states: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    for place in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda.{place}" in states:
            torch.cuda.set_rng_state(states[f"cuda.{place}"], place)


def _python_state() -> list[Any]:
    version, numbers, spare = random.getstate()
    return [version, list(numbers), spare]


def _set_python_state(state: list[Any]) -> None:
    version, numbers, spare = state
    random.setstate((version, tuple(numbers), spare))
