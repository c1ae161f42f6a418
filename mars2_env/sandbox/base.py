"""What a sandbox is: the contract that every back end keeps and the judge relies on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

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
