"""A result: what one training with one seed came to on one environment, and all that it takes to check it.

    FOLDER/Route-v1/ppo/200000/seed-0.json    id, algorithm, budget of expansions, seed

A file says which environment was played (its id and digest), by what (package, commit, algorithm, settings, source), at
what cost, and has every episode of the evaluation with its actions: whoever has the bank can play them again without
the policy (`verify`). Columns of episodes are compressed (bzip2, then base 85). What a clock said stands apart and in
no digest: apart from it, the same training gives the same file.
"""

from __future__ import annotations

import bz2
import os
import re
from base64 import b85decode, b85encode
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from mars2_env.base.journal import UNREADABLE, Journal, check_regular, refusing
from mars2_env.errors import LogError

SCHEMA: Final = "mars2-bench/1"
BUDGETS: Final = (50_000, 200_000, 1_000_000)
"""Expansions of a training, of results that are published; 0 is for what learns nothing."""

ALGORITHM_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
"""What an algorithm may be called: it names folders, and stands on pages."""

_ID: Final = re.compile(r"mars2/[A-Za-z0-9]+-v[0-9]+")

_MOST_BYTES: Final = 2**26
"""What a packed column may unpack to: one that says more is no result, but an attack on whoever reads it."""


class Packed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Episodes as they are written.

    `problems` has one id a line, `scores` 64-bit floats, `steps` 16 bits each, `actions` 8 bits each, or 16 where there
    are more than 256. Steps and actions stand tree after tree, the actions of a step one for each of `actors`.
    """

    score: float
    count: int
    actors: int
    problems: str
    seeds: tuple[int, ...]
    scores: str
    steps: str
    actions: str


@dataclass(frozen=True, eq=False)
class Episodes:
    """The trees of an evaluation: each problem with each seed.

    Attributes:
        problems: ids, in order.
        seeds: episode seeds, the same for each problem.
        scores: the best score of each tree, shape (problems, seeds).
        steps: how many steps each took, likewise.
        actions: what was done in each step, shape (problems, seeds, most steps, actors); after a tree's last -1.
    """

    problems: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: NDArray[np.float64]
    steps: NDArray[np.int64]
    actions: NDArray[np.int64]

    @property
    def score(self) -> float:
        """The mean score."""
        return float(self.scores.mean())

    @property
    def by_problem(self) -> NDArray[np.float64]:
        """The mean score on each problem, shape (problems,)."""
        found: NDArray[np.float64] = self.scores.mean(axis=1)
        return found

    def packed(self) -> Packed:
        """Return them as they are written."""
        taken = self._taken()
        return Packed(
            self.score,
            self.scores.size,
            self.actions.shape[3],
            _packed("\n".join(self.problems).encode()),
            self.seeds,
            _packed(self.scores.astype("<f8").tobytes()),
            _packed(self.steps.astype("<u2").tobytes()),
            _packed(taken.astype("u1" if taken.max() < 256 else "<u2").tobytes()),
        )

    def digest(self) -> str:
        """Return the SHA-256 of what they say, however it is compressed."""
        parts = [
            "\n".join(self.problems).encode(),
            " ".join(map(str, self.seeds)).encode(),
            self.scores.astype("<f8").tobytes(),
            self.steps.astype("<u2").tobytes(),
            self._taken().astype("<u2").tobytes(),
        ]
        return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()

    def _taken(self) -> NDArray[np.int64]:
        """Return the actions that were taken, tree after tree and step after step, shape (all steps, actors)."""
        return self.actions[np.arange(self.actions.shape[2]) < self.steps[..., None]]


def unpacked(found: Packed) -> Episodes:
    """Return episodes as they were before `packed`.

    Raises:
        LogError: a column is damaged, or of another length than the others.
    """
    problems = tuple(_unpacked("problems", found.problems).decode("utf-8", "replace").split("\n"))
    shape = (len(problems), len(found.seeds))
    scores = _column("scores", found.scores, "<f8", shape).astype(np.float64)
    steps = _column("steps", found.steps, "<u2", shape).astype(np.int64)
    count, data = int(steps.sum()) * found.actors, _unpacked("actions", found.actions)
    if not count or found.actors < 1 or len(data) not in (count, 2 * count):
        raise LogError(f"episodes: {len(data)} bytes of actions for {count} of them; a column is damaged.")
    if scores.size * int(steps.max()) * found.actors > _MOST_BYTES:
        raise LogError(f"episodes: {scores.size} trees of up to {steps.max()} steps are more than this reads.")
    taken = np.frombuffer(data, "u1" if len(data) == count else "<u2")
    actions = np.full((*shape, int(steps.max()), found.actors), -1)
    actions[np.arange(actions.shape[2]) < steps[..., None]] = taken.reshape(-1, found.actors)
    return Episodes(problems, found.seeds, scores, steps, actions)


def _packed(data: bytes) -> str:
    return b85encode(bz2.compress(data)).decode()


def _unpacked(name: str, text: str) -> bytes:
    try:
        reader = bz2.BZ2Decompressor()
        data = reader.decompress(b85decode(text), _MOST_BYTES)
    except (ValueError, OSError) as error:
        raise LogError(f"episodes: the column {name} is damaged: {error}.") from None
    if not reader.eof:
        raise LogError(f"episodes: the column {name} is cut off, or of more than {_MOST_BYTES:,} bytes.")
    return data


def _column(name: str, text: str, kind: str, shape: tuple[int, int]) -> NDArray[Any]:
    data, wanted = _unpacked(name, text), shape[0] * shape[1]
    if len(data) != wanted * np.dtype(kind).itemsize:
        raise LogError(
            f"episodes: the column {name} has {len(data)} bytes, not those of {shape[0]} problems with {shape[1]} "
            "seeds each; it is damaged."
        )
    return np.frombuffer(data, kind).reshape(shape)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What learned.

    Attributes:
        name: what the board calls it.
        factory: where it is found, `module:name`.
        settings: its settings, as plain data.
        source: SHA-256 of the sources beside it.
    """

    name: str
    factory: str
    settings: Mapping[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a learning curve: the mean score on training problems after so many expansions."""

    expansions: int
    score: float


@dataclass(frozen=True, slots=True)
class Clock:
    """CPU seconds of the process, and on what they were spent."""

    learning: float
    evaluation: float


@dataclass(frozen=True)
class Result:
    """One file.

    Attributes:
        id: of the environment.
        environment: its digest.
        bank: the digest of the bank.
        package: version of mars2-env.
        commit: of its sources; "" where they are no checkout, and with a + at the end where they were changed since.
        algorithm: what learned.
        seed: of the training.
        budget: how many expansions it was allowed.
        expansions: how many it took.
        tries: how many settings were tried on this environment, these included.
        curve: the learning curve.
        evaluations: split -> its trees.
        clock: what it cost.
        schema: of the file.
    """

    id: str
    environment: str
    bank: str
    package: str
    commit: str
    algorithm: Recipe
    seed: int
    budget: int
    expansions: int
    tries: int
    curve: tuple[Point, ...]
    evaluations: Mapping[str, Episodes]
    clock: Clock
    schema: str = SCHEMA

    def cell(self) -> dict[str, Any]:
        """Return what the run was asked for, as plain data: two results of the same cell differ in nothing of it."""
        return {
            "id": self.id,
            "environment": self.environment,
            "algorithm": asdict(self.algorithm),
            "seed": self.seed,
            "budget": self.budget,
            "tries": self.tries,
        }

    def digest(self) -> str:
        """Return the SHA-256 of all that it says but the clock."""
        said = _header(self) | {"evaluations": {split: one.digest() for split, one in self.evaluations.items()}}
        del said["clock"]
        return sha256(msgspec.json.encode(said, order="sorted")).hexdigest()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A result as it is written."""

    schema: str
    id: str
    environment: str
    bank: str
    package: str
    commit: str
    algorithm: Recipe
    seed: int
    budget: int
    expansions: int
    tries: int
    curve: tuple[Point, ...]
    evaluations: dict[str, Packed]
    clock: Clock
    digest: str


_SAID: Final = tuple(name for name in _File.__struct_fields__ if name not in ("evaluations", "digest"))


def _header(result: Result) -> dict[str, Any]:
    """Return all of a result but its episodes, as plain data."""
    found: dict[str, Any] = msgspec.to_builtins({name: getattr(result, name) for name in _SAID})
    return found


def encoded(result: Result) -> bytes:
    """Return a result as the text of its file."""
    said = _header(result) | {
        "evaluations": {split: msgspec.to_builtins(one.packed()) for split, one in result.evaluations.items()},
        "digest": result.digest(),
    }
    ordered = {name: said[name] for name in _File.__struct_fields__}
    return msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n"


def decoded(data: bytes, where: str | Path = "the result") -> Result:
    """Return the result of a file's text.

    Raises:
        LogError: it is none, of another schema, damaged, or says something else than its digest does.
    """
    try:
        schema = msgspec.json.decode(data, type=dict[str, Any]).get("schema")
        if schema != SCHEMA:
            raise LogError(f"it has the schema {schema!r:.60}, and this version reads {SCHEMA!r}.")
        found = msgspec.json.decode(data, type=_File)
        evaluations = {split: unpacked(one) for split, one in found.evaluations.items()}
    except UNREADABLE as error:
        raise LogError(f"{where} is no result of mars2 bench: {error}") from None
    except LogError as error:
        raise LogError(f"{where}: {error}") from None
    result = Result(**{name: getattr(found, name) for name in _SAID}, evaluations=evaluations)
    _check_said(result, where)
    if found.digest != result.digest():
        raise LogError(f"{where} was changed after it was written: its digest is of something else.")
    for split, one in found.evaluations.items():
        if (one.score, one.count) != (evaluations[split].score, evaluations[split].scores.size):
            raise LogError(f"{where}: {split}: score {one.score!r} of {one.count} trees is not what its scores say.")
    return result


def _check_said(result: Result, where: str | Path) -> None:
    """Raise LogError for names that would lead out of a folder or be more than words on a page, and for odd numbers."""
    for what, said, pattern in (("id", result.id, _ID), ("algorithm", result.algorithm.name, ALGORITHM_NAME)):
        if not pattern.fullmatch(said):
            raise LogError(f"{where}: {what}={said!r:.200} is no name of one ({pattern.pattern}).")
    for what, number, least in (
        ("seed", result.seed, 0),
        ("budget", result.budget, 0),
        ("expansions", result.expansions, 0),
        ("tries", result.tries, 1),
    ):
        if number < least:
            raise LogError(f"{where}: {what}={number} must be at least {least}.")


def path_of(folder: Path, id: str, algorithm: str, budget: int, seed: int) -> Path:
    """Return where the result of a cell stands."""
    return folder / id.rpartition("/")[2] / algorithm / str(budget) / f"seed-{seed}.json"


def read_result(path: Path) -> Result:
    """Return the result of a file.

    Raises:
        LogError: it cannot be read, or is none (`decoded`).
    """
    check_regular(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror}.") from None
    return decoded(data, path)


def files_in(place: Path) -> Iterator[Path]:
    """Yield the files of results in a folder, in order; a file is one itself.

    Raises:
        LogError: there are none.
    """
    found = [place] if place.is_file() else sorted(place.rglob("seed-*.json"), key=_in_order)
    if not found:
        raise LogError(f"{place}: there are no results (FOLDER/Route-v1/ppo/200000/seed-0.json, say).")
    yield from found


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts numbers by their size."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.as_posix())]


class Claim:
    """The right to write one file, held by one process at a time; the file appears whole, or not at all.

    A kill leaves at most a file beside it, whose name ends with `.part`, and the next claim takes that over.
    """

    def __init__(self, path: Path) -> None:
        """Claim a file.

        Raises:
            LogInUseError: another process is at it.
            LogError: it cannot be written.
        """
        self.path = path
        self._journal = Journal(path.with_name(path.name + ".part"), alone=True)
        self._written = False

    def write(self, data: bytes) -> None:
        """Write the file; `data` ends with a newline."""
        with refusing(self.path):
            self._journal.keep(0)
            self._journal.append(data[:-1])
            self._journal.sync()
            os.replace(self._journal.path, self.path)
        self._written = True

    def close(self) -> None:
        """Give the claim back; what was not written is gone."""
        if not self._journal.closed:
            if not self._written:
                self._journal.path.unlink(missing_ok=True)
            self._journal.close()
