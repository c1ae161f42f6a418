"""A sandbox that follows a script and runs NOTHING: it answers with runs that the caller wrote down, or arbitrary ones.

A verdict that rests on it says nothing about a program. It is for conformance tests of whatever stands between a policy
and a sandbox.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import TracebackType
from typing import Any, TypeAlias

from mars2_env.errors import ConfigError, SandboxError
from mars2_env.sandbox.base import LIMITS, STDIN
from mars2_env.types import Interface, Limits, Run

Behaviour: TypeAlias = Callable[[Any], Any] | Mapping[Any, Any] | Sequence[Any]


def arbitrary_run(program: str, input: Any) -> Run:
    """Return a run that is arbitrary but the same for the same program and input: an output of 16 hex digits."""
    return Run("ok", output=sha256(repr((program, input)).encode("utf-8", "surrogatepass")).hexdigest()[:16])


class ScriptedSandbox:
    """Keeps the `Sandbox` protocol without running anything; for conformance tests ONLY.

    Args:
        script: how a program behaves. A function `(program, input) -> Run or output`; or a mapping from program text
            (compared without surrounding white space) to a function of the input, to a mapping from the input (its
            `repr` where it cannot be a key) to an output, to a list of outputs for the inputs in the order they come
            within one call, or to one `Run` for every input. Wherever an output may stand, so may a `Run`. A
            `SandboxError` (instance) in the place of an output is raised: so tests play faults.
            A program or input that the script does not know gets `arbitrary_run`.
        identity: goes into log headers; change it to play another sandbox.

    `calls` lists every (program, input) that was asked for, in order.
    """

    def __init__(
        self,
        script: Callable[[str, Any], Any] | Mapping[str, Behaviour | Run] | None = None,
        *,
        identity: str = "scripted",
    ) -> None:
        if isinstance(script, Mapping):
            script = {text.strip(): behaviour for text, behaviour in script.items()}
        elif script is not None and not callable(script):
            raise ConfigError(f"ScriptedSandbox({script!r}): give a function (program, input) -> Run, or a mapping.")
        self._script = script
        self._asked = None if script is None or isinstance(script, Mapping) else script
        self._identity = identity
        self._closed = False
        self.calls: list[tuple[str, Any]] = []

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled. A copy has calls of its own."""
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take what was pickled."""
        self.__dict__.update(state, calls=list(state["calls"]))

    def __repr__(self) -> str:
        return "ScriptedSandbox(runs nothing; for conformance tests only)"

    @property
    def identity(self) -> str:
        """What decides behaviour; goes into log headers."""
        return self._identity

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def run(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Return the scripted run for each input, in order.

        Raises:
            SandboxError: the script says so, or the sandbox is closed.
        """
        return list(self.stream(program, inputs, interface=interface, limits=limits))

    def stream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> Iterator[Run]:
        """Like `run`, one by one; an input that is never reached is never looked up."""
        for index, input in enumerate(inputs):
            yield self._run(program, index, input)

    async def arun(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> list[Run]:
        """Async twin of `run`."""
        return self.run(program, inputs, interface=interface, limits=limits)

    async def astream(
        self, program: str, inputs: Sequence[Any], *, interface: Interface = STDIN, limits: Limits = LIMITS
    ) -> AsyncIterator[Run]:
        """Async twin of `stream`."""
        for index, input in enumerate(inputs):
            yield self._run(program, index, input)

    def close(self) -> None:
        """Refuse further runs; idempotent."""
        self._closed = True

    def __enter__(self) -> ScriptedSandbox:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _run(self, program: str, index: int, input: Any) -> Run:
        if self._closed:
            raise SandboxError("this ScriptedSandbox is closed; make another.")
        self.calls.append((program, input))  # one step, whatever other threads do
        result = self._asked(program, input) if self._asked is not None else self._result(program, index, input)
        if isinstance(result, Run):
            return result
        if isinstance(result, SandboxError):
            raise result
        return Run("ok", output=result)

    def _result(self, program: str, index: int, input: Any) -> Any:
        script = self._script
        if not isinstance(script, Mapping):
            return arbitrary_run(program, input)
        behaviour = script.get(program.strip())
        if isinstance(behaviour, Run):
            return behaviour
        if isinstance(behaviour, Mapping):
            for key in (input, repr(input)):
                try:
                    return behaviour[key]
                except (KeyError, TypeError):  # TypeError: a list is no key; its repr is
                    continue
        elif callable(behaviour):
            return behaviour(input)
        elif behaviour is not None and index < len(behaviour):
            return behaviour[index]
        return arbitrary_run(program, input)
