"""What a sandbox is: the contract that every back end keeps, and abilities that an object may have alone.

An ability is asked for with `isinstance`, which from Python 3.12 on sees no method that `__getattr__` makes up: a proxy
defines those that it passes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeAlias, runtime_checkable

from mars2_env.types import Interface, Limits, Run, Stdin

STDIN = Stdin()
LIMITS = Limits()


@runtime_checkable
class Sandbox(Protocol):
    """Runs untrusted programs on inputs. It never learns an expected output.

    Safe to use from several threads at once. `close` is idempotent.
    """

    @property
    def identity(self) -> str:
        """What decides behaviour (back end, Python version, image hash) as a short stable text, for log headers."""
        ...

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Run `program` on each input and return one `Run` each, in order.

        Raises:
            SandboxError: the sandbox itself failed, twice; nothing can be said about the program.
        """
        ...

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Like `run`, one by one: closing the iterator (or leaving the loop) stops before the next input is sent.

        Where functions are called, a program that answers at once may have been asked a few inputs ahead by then, one
        after the other as always.
        """
        ...

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Async twin of `run`."""
        ...

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        ...

    def close(self) -> None:
        """Stop every worker and leave nothing behind."""
        ...

    def __enter__(self) -> Sandbox:
        """Return itself."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        ...


@runtime_checkable
class Runs(Protocol):
    """Runs programs, all inputs at once; see `Sandbox.run`."""

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Run `program` on each input and return one `Run` each, in order."""
        ...


@runtime_checkable
class Streams(Protocol):
    """Runs programs, one input after the other; see `Sandbox.stream`."""

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Yield one `Run` for each input, in order; it may be closed early."""
        ...


@runtime_checkable
class RunsAsync(Protocol):
    """Async twin of `Runs`; see `Sandbox.arun`."""

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Run `program` on each input and return one `Run` each, in order."""
        ...


@runtime_checkable
class StreamsAsync(Protocol):
    """Async twin of `Streams`; see `Sandbox.astream`."""

    def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Yield one `Run` for each input, in order; it may be closed early."""
        ...


RunsPrograms: TypeAlias = Runs | Streams | RunsAsync | StreamsAsync
"""Whatever can run programs in one of these ways; a `Sandbox` can in all of them."""


@runtime_checkable
class Describes(Protocol):
    """Can say which isolation is in force."""

    def describe(self) -> Mapping[str, str]:
        """Return what is in force, by the name of a fact, for people to read."""
        ...


@runtime_checkable
class Closes(Protocol):
    """An iterator of runs that can be stopped early; a generator can, a plain iterator need not."""

    def close(self) -> None:
        """Stop before the next input."""
        ...


@runtime_checkable
class ClosesAsync(Protocol):
    """Async twin of `Closes`."""

    async def aclose(self) -> None:
        """Stop before the next input."""
        ...
