"""A problem set: an ordered, named collection of problems of one split, and the registry of loaders."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import file_digest, sha256
from operator import index as index_of
from typing import Any, Literal, Protocol, TypeAlias, get_args, overload

from mars2_env.base.checks import instance, is_whole, one_of, text
from mars2_env.errors import ConfigError, ProblemError, unknown_name
from mars2_env.problems.plain import problem_line
from mars2_env.types import GROUPS, Problem, TestGroup

Use: TypeAlias = Literal["training", "evaluation"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a set comes from: its home (an address), its licence, and the files it was read from."""

    home: str = ""
    licence: str = ""
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("home", "licence"):
            text(name, getattr(self, name), where="Provenance", error=ProblemError)
        instance("files", self.files, tuple | list, "a tuple of paths", where="Provenance", error=ProblemError)

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256, in hexadecimal, of each file."""
        found = {}
        for path in self.files:
            with open(path, "rb") as file:
                found[path] = file_digest(file, "sha256").hexdigest()
        return found


@dataclass(frozen=True)
class ProblemSet:
    """Problems of one split of one source, in the source's own order and under its own ids.

    `use` says what the tests are for: an `evaluation` set holds all official tests as hidden ones and has no scoring
    tests, a `training` set has all three groups. `left_out` counts records that were not taken, by reason.
    `provenance` says where they come from; it is no part of the hash.
    """

    name: str
    problems: tuple[Problem, ...]
    split: str = "test"
    use: Use = "training"
    left_out: dict[str, int] = field(default_factory=dict)
    provenance: Provenance = Provenance()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ProblemError(f"ProblemSet(name={self.name!r:.100}): the name is a text that is not empty.")
        text("split", self.split, where="ProblemSet", error=ProblemError)
        counts = "how many records were left out, by reason"
        instance("left_out", self.left_out, Mapping, counts, where="ProblemSet", error=ProblemError)
        instance("provenance", self.provenance, Provenance, "a Provenance", where="ProblemSet", error=ProblemError)
        one_of("use", self.use, get_args(Use), where="ProblemSet", error=ProblemError)
        if isinstance(self.problems, str) or not isinstance(self.problems, Iterable):
            raise ProblemError(
                f"problem set {self.name!r}: problems={self.problems!r:.100} is not a sequence of Problems."
            )
        object.__setattr__(self, "problems", tuple(self.problems))
        index: dict[str, Problem] = {}
        for problem in self.problems:
            if not isinstance(problem, Problem):
                raise ProblemError(f"problem set {self.name!r}: {problem!r:.100} is not a Problem.")
            if problem.id in index:
                raise ProblemError(f"problem set {self.name!r}: the id {problem.id!r} occurs twice.")
            index[problem.id] = problem
        object.__setattr__(self, "_index", index)

    @cached_property
    def checkers(self) -> frozenset[str]:
        """The names of the checkers that its problems ask for."""
        return frozenset(problem.checker for problem in self.problems if problem.checker is not None)

    @cached_property
    def _without(self) -> dict[TestGroup, tuple[str, ...]]:
        return {group: tuple(p.id for p in self.problems if not p.tests(group)) for group in GROUPS}

    def lacking(self, groups: Iterable[TestGroup]) -> list[str]:
        """Return the ids of the problems that have no test of one of these groups, in the order of the set."""
        found = {id for group in groups for id in self._without[group]}
        return [problem.id for problem in self.problems if problem.id in found] if found else []

    @cached_property
    def hash(self) -> str:
        """The SHA-256, in hexadecimal, of all that decides results: split, use, and every field of every problem."""
        found = sha256(json.dumps([self.split, self.use]).encode("ascii"))
        for problem in self.problems:
            found.update(b"\n" + problem_line(problem).encode("ascii"))
        return found.hexdigest()

    def __repr__(self) -> str:
        """The set in short: never a problem's tests."""
        return f"ProblemSet({self.name!r}, split={self.split!r}, use={self.use!r}, {len(self)} problems)"

    def __len__(self) -> int:
        return len(self.problems)

    def __iter__(self) -> Iterator[Problem]:
        return iter(self.problems)

    def __contains__(self, problem: object) -> bool:
        """Whether a problem, or the problem with this id, is in the set."""
        index: dict[str, Problem] = self.__dict__["_index"]
        if isinstance(problem, Problem):
            return index.get(problem.id) == problem
        return isinstance(problem, str) and problem in index

    @overload
    def __getitem__(self, which: str | int) -> Problem: ...

    @overload
    def __getitem__(self, which: slice) -> ProblemSet: ...

    def __getitem__(self, which: str | int | slice) -> Problem | ProblemSet:
        """Return the problem with this id or at this place, or the set of the problems of a slice.

        Raises:
            ConfigError: there is none; the message names the nearest.
        """
        if isinstance(which, slice):
            try:
                return replace(self, problems=self.problems[which])
            except TypeError:
                raise ConfigError(f"problem set {self.name!r}: a slice is of places, such as [:20].") from None
        if not isinstance(which, str):
            if not is_whole(which):
                raise ConfigError(
                    f"problem set {self.name!r}: {which!r:.200} is neither the id of a problem, nor its place, nor a "
                    "slice."
                )
            if not -len(self) <= index_of(which) < len(self):
                raise ConfigError(f"problem set {self.name!r} has {len(self)} problems, and none at place {which!r}.")
            return self.problems[which]
        index: dict[str, Problem] = self.__dict__["_index"]
        try:
            return index[which]
        except KeyError:
            raise ConfigError(unknown_name(f"problem of {self.name!r}", which, index)) from None


class Loader(Protocol):
    """Loads one problem set; `split` is None where the caller left it to the set's default."""

    def __call__(self, *, path: str | None = None, split: str | None = None, **options: Any) -> ProblemSet:
        """Return the problem set."""
        ...
