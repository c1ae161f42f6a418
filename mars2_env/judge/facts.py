"""Facts about one failing public test as bounded texts: what feedback to a policy may quote."""

from __future__ import annotations

from typing import Any, Final

from mars2_env.base.texts import elided
from mars2_env.sandbox.masking import mask
from mars2_env.sandbox.worker.values import Opaque
from mars2_env.types import Feedback, Interface, Limits, Outcome, Run, Stdin, TestCase

MAX_TEXT: Final = 1000
"""Characters of an input, an expected or actual output, or an error message that feedback quotes."""

MAX_TRACEBACK: Final = 2000
"""Characters of a traceback that feedback quotes."""


def shown(value: Any) -> str:
    """Return the `repr` of plain data, the same in every process: elements of sets are put in order.

    A value that is not plain data is shown as `<type name object>`.
    """
    kind = type(value)
    if kind is list:
        return "[" + ", ".join(map(shown, value)) + "]"
    if kind is tuple:
        return "(" + ", ".join(map(shown, value)) + (",)" if len(value) == 1 else ")")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) + "}"
    if kind is set:
        return _shown_elements(value) if value else "set()"
    if kind is frozenset:
        return f"frozenset({_shown_elements(value)})" if value else "frozenset()"
    if kind is Opaque:
        return f"<{value.type_name} object>"
    try:
        return repr(value)
    except ValueError:  # an int with more digits than Python prints
        return hex(value)


def _shown_elements(elements: set[Any] | frozenset[Any]) -> str:
    numbers = all(type(element) in (int, float, bool) and element == element for element in elements)
    texts = map(shown, sorted(elements)) if numbers else sorted(map(shown, elements))
    return "{" + ", ".join(texts) + "}"


def shown_call(name: str, arguments: list[Any]) -> str:
    """Return a call as Python writes it."""
    return f"{name}({', '.join(map(shown, arguments))})"


def failing_test(
    index: int, test: TestCase, run: Run, outcome: Outcome, interface: Interface, limits: Limits
) -> Feedback:
    """Return the facts about public test `index`, which ended with `outcome`.

    A program that does not compile fails whatever the test, so none is quoted. What the program produced is quoted only
    where it is a wrong answer: the output of a program that was stopped depends on when it was stopped. What would
    differ from run to run in it (object addresses, scratch paths) is masked.
    """
    text = str if isinstance(interface, Stdin) else shown
    if outcome == "compile_error":
        return Feedback(
            outcome=outcome,
            error_type=elided(run.error_type, MAX_TEXT),
            error_message=elided(run.error_message, MAX_TEXT),
            traceback=elided(run.traceback, MAX_TRACEBACK),
        )
    failed = outcome == "runtime_error"
    return Feedback(
        outcome=outcome,
        test=index,
        input=elided(test.input if isinstance(interface, Stdin) else shown_call(interface.name, test.input), MAX_TEXT),
        expected=elided(text(test.output), MAX_TEXT),
        actual=elided(mask(text(run.output)), MAX_TEXT) if outcome == "wrong_answer" else "",
        error_type=elided(run.error_type, MAX_TEXT) if failed else "",
        error_message=elided(run.error_message, MAX_TEXT) if failed else "",
        traceback=elided(run.traceback, MAX_TRACEBACK) if failed else "",
        limit=limit_text(outcome, limits),
    )


def limit_text(outcome: Outcome, limits: Limits) -> str:
    """Return the limit behind an outcome as readable text, "" where no limit was hit.

    A time limit names both clocks, whichever of them ended the run: which one did may differ between machines.
    """
    if outcome == "time_limit":
        return f"{limits.cpu_seconds:g} s of CPU time or {limits.wall_seconds:g} s of wall time"
    if outcome == "memory_limit":
        return f"{_size(limits.memory_bytes)} of memory"
    if outcome == "output_limit":
        return f"{_size(limits.output_bytes)} of output"
    return ""


def _size(count: int) -> str:
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= size:
            return f"{count / size:g} {unit}" if count % size == 0 else f"{count / size:.1f} {unit}"
    return f"{count} bytes"
