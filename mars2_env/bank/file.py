"""The file of a bank: JSON lines in gzip, a header and then one recorded reply each, and what it is known by.

A bank is written as a whole when all of it is recorded, so it is there and complete or not there; the same replies make
the same bytes. Its digest, the SHA-256 of the lines, is its identity.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from mars2_env.base.journal import refusing
from mars2_env.episode.luck import child_key, path_of, root_path
from mars2_env.errors import LogError
from mars2_env.types import Generation, Reply, Turn

BANK_FILE: Final = "bank.jsonl.gz"
RECORDING: Final = "recording"
SCHEMA: Final = 1

Steps: TypeAlias = tuple[tuple[str, int], ...]
"""The way to a node from the root: for each step who wrote it, and which of its author's children there it is."""

Place: TypeAlias = tuple[str, str, int, int]
"""Problem, agent, `Turn.path` and `Turn.child`: what a reply is found by."""


@dataclass(frozen=True, slots=True)
class RecordedAgent:
    """An agent as it was recorded: the identity of its policy, its role, and whether no model stood behind it."""

    policy: str
    role: str = ""
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class BankHeader:
    """The first line of a bank: what was recorded.

    Attributes:
        problem_set: the name of the set.
        split: its split.
        problems_hash: SHA-256 of the set (`ProblemSet.hash`).
        problems: the ids of the problems that were recorded.
        agents: who was recorded.
        children: how many replies of each agent there are at each place.
        depth: the depth of the deepest; 1 is that of fresh programs.
        seed: that of the recording; a search that replays it may have any.
        task: what else decides what agents are asked: rules, limits, prompts.
        sandbox: identity of the sandbox that judged what refinements are told.
        package: version of mars2_env that recorded it.
        replies: how many there are in all.
        bank: version of this format.
    """

    problem_set: str
    split: str
    problems_hash: str
    problems: tuple[str, ...]
    agents: dict[str, RecordedAgent]
    children: int
    depth: int
    seed: int
    task: dict[str, Any]
    sandbox: str
    package: str
    replies: int
    bank: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded reply.

    Attributes:
        problem: the problem's id.
        agent: who replied.
        path: the way to the node that it replied about.
        child: how many children the agent wrote there before.
        about: a digest of what it was asked about (`about`).
        text: the reply.
        prompt_tokens, completion_tokens: how many it took; None where its policy did not tell.
        finish_reason: as in `Generation`.
        cost: as in `Reply`; None for none.
    """

    problem: str
    agent: str
    path: Steps
    child: int
    about: str
    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str = "stop"
    cost: float | None = None

    @property
    def place(self) -> Place:
        """What it is found by."""
        return self.problem, self.agent, path_key(self.problem, self.path), self.child

    def reply(self) -> Reply:
        """Return it as its agent's policy did, but for the tokens themselves."""
        generation = None
        if self.completion_tokens is not None:
            generation = Generation(
                finish_reason=self.finish_reason,
                prompt_tokens=self.prompt_tokens,
                completion_tokens=self.completion_tokens,
            )
        return Reply(self.text, generation=generation, cost=self.cost)


def path_key(problem: str, path: Steps) -> int:
    """Return the path of turns (`Turn.path`) that expand the node to which a way leads."""
    key = root_path(problem)
    for agent, child in path:
        key = child_key(key, agent, child)
    return path_of(key)


def about(turn: Turn) -> str:
    """Return a digest of what a turn asks about.

    That is the parent's program with how it failed, or the whole prompt where there is no program. It is not the whole
    prompt in any case, because that may differ in line numbers: a copy of an earlier program, in other words, is told
    that one's feedback, and which of the two comes earlier depends on the search.
    """
    if turn.program is None:
        told: Any = list(turn.messages)
    else:
        failed = turn.feedback and (turn.feedback.outcome, turn.feedback.unshown, turn.feedback.test)
        told = [turn.program, failed]
    return sha256(msgspec.json.encode(told)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank that has been read.

    Attributes:
        path: the file.
        header: what was recorded.
        digest: what it is known by: the SHA-256 of its lines, in hexadecimal.
        replies: the recorded replies by what they are found by.
    """

    path: Path
    header: BankHeader
    digest: str
    replies: Mapping[Place, Recorded]


def bank_file(place: str | Path) -> Path:
    """Return the file of a bank that is named by its folder or by itself.

    Raises:
        LogError: there is none, or it is not finished.
    """
    path = Path(place)
    file = path / BANK_FILE if path.is_dir() else path
    if file.is_file():
        return file
    if (path / RECORDING).is_dir():
        raise LogError(
            f"{path} holds a bank that is not finished; the `mars2 record` that began it goes on with it, and then it "
            "can be replayed."
        )
    if file.exists():
        raise LogError(f"{path} holds no bank: {file} is no regular file. `mars2 record` makes one.")
    raise LogError(f"{path} holds no bank: there is no {file}. `mars2 record` makes one.")


def write_bank(path: Path, header: BankHeader, replies: Iterable[Recorded]) -> None:
    """Write a bank, or nothing at all.

    Raises:
        LogError: it cannot be written.
    """
    new = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with refusing(path):
            # without a name and a time, so that the same lines make the same bytes
            with new.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                for line in (header, *replies):
                    packed.write(msgspec.json.encode(line) + b"\n")
                packed.flush()
                file.flush()
            descriptor = os.open(new, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def read_bank(place: str | Path) -> Bank:
    """Read a bank.

    Args:
        place: its folder, or its file.

    Raises:
        LogError: there is none, it is not finished, or it is damaged or of another version; the file is named.
    """
    path = bank_file(place)
    digest, found = sha256(), dict[Place, Recorded]()
    header: BankHeader | None = None
    try:
        for number, line in enumerate(_lines(path), start=1):
            digest.update(line)
            if header is None:
                header = _header(path, line)
                continue
            try:
                one = msgspec.json.decode(line, type=Recorded)
            except msgspec.MsgspecError as error:
                raise LogError(f"{path}: line {number}: no recorded reply: {error}") from None
            if one.place in found:
                raise LogError(f"{path}: line {number} repeats an earlier one: a reply to the same turn.")
            found[one.place] = one
    except (OSError, EOFError, zlib.error) as error:
        raise LogError(f"{path} cannot be read as a bank: {error}.") from None
    if header is None or len(found) != header.replies:
        wanted = "no header" if header is None else f"{len(found)} of {header.replies} replies"
        raise LogError(f"{path} is damaged: it has {wanted}.")
    return Bank(path, header, digest.hexdigest(), found)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        yield from file


def _header(path: Path, line: bytes) -> BankHeader:
    try:
        schema = msgspec.json.decode(line).get("bank")
        if schema != SCHEMA:
            raise LogError(f"{path}: a bank of version {schema!r}; this version reads version {SCHEMA}.")
        return msgspec.json.decode(line, type=BankHeader)
    except (msgspec.MsgspecError, AttributeError) as error:
        raise LogError(f"{path}: line 1: not the header of a bank: {error}") from None
