"""Problems and their test data as JSON: one line for each problem, the same text for equal problems.

Plain data that JSON lacks is written as an object with one key, a tag of `mars2_env.sandbox.worker.values`; the
docstring of `mars2_env.problems.jsonl` lists the tags.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from mars2_env.errors import ProblemError
from mars2_env.sandbox.worker.values import Opaque, ValuesError, decode, encode
from mars2_env.types import GROUPS, Problem, Stdin

_TAGS: Final = frozenset("tsfdincbu")
_SMALL: Final = 2**53


def problem_line(problem: Problem) -> str:
    """Return the one line that stands for a problem, the same text for equal problems.

    Raises:
        ProblemError: a test or the metadata is not plain data.
    """
    interface = problem.interface
    try:
        record: dict[str, Any] = {
            "id": problem.id,
            "statement": problem.statement,
            "interface": "stdin" if isinstance(interface, Stdin) else {"call": interface.name},
            **{
                group: [{"input": to_json(t.input), "output": to_json(t.output)} for t in problem.tests(group)]
                for group in GROUPS
            },
            "checker": problem.checker,
            "starter_code": problem.starter_code,
            "limits": asdict(problem.limits),
            "reference": problem.reference,
            "metadata": {key: to_json(value) for key, value in problem.metadata.items()},
        }
        if interface.prelude:
            record["prelude"] = interface.prelude
        if problem.seed_program is not None:  # left out elsewhere, so that the hashes of other sets stay as they are
            record["seed_program"] = problem.seed_program
        return json.dumps(record, allow_nan=False)
    except (ValuesError, TypeError, ValueError) as error:
        raise ProblemError(f"problem {problem.id!r} cannot be written as JSON: {error}") from error


def to_json(value: Any) -> Any:
    """Return plain data as JSON with tags, elements of sets in a fixed order.

    Raises:
        ValuesError: the value is not plain data, or nested more than 200 levels deep.
    """
    return _to_json(decode(encode(value, strict=True)))


def _to_json(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [_to_json(item) for item in value]
    if kind is tuple:
        return {"t": [_to_json(item) for item in value]}
    if kind is set or kind is frozenset:
        return {kind.__name__[0]: sorted((_to_json(item) for item in value), key=json.dumps)}
    if kind is dict:
        if all(type(key) is str for key in value) and not (len(value) == 1 and next(iter(value)) in _TAGS):
            return {key: _to_json(item) for key, item in value.items()}
        return {"d": [_to_json(part) for item in value.items() for part in item]}
    if kind is Opaque:
        raise ValuesError(f"a value of type {value.type_name} is not plain data")
    return json.loads(encode(value, strict=True))


def from_json(value: Any) -> Any:
    """Return the plain data that JSON with tags stands for.

    Raises:
        ValuesError: a tag has the wrong kind of content, or the value is nested more than 200 levels deep.
    """
    try:
        return decode(json.dumps(_tagged(value)).encode("ascii"))
    except RecursionError:
        raise ValuesError("nested too deeply") from None


def _tagged(value: Any) -> Any:
    """Return JSON in which every object is a tagged one and every large int is tagged."""
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1 and _TAGS.issuperset(value):
            return {tag: _tagged(content) for tag, content in value.items()}
        return {"d": [part for key, item in value.items() for part in (key, _tagged(item))]}
    if type(value) is int and abs(value) > _SMALL:
        return {"i": format(value, "x")}
    return value
