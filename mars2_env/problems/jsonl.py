"""Our JSON-lines format of problem sets: one JSON object a line, UTF-8, `.jsonl` or `.jsonl.gz`.

The first line may describe the set; every other line (empty ones apart) is a problem:

    {"problem_set": {"name": "tiny", "split": "train", "use": "training", "left_out": {"too long": 2}}}
    {"id": "tiny/0", "statement": "Add.", "interface": {"call": "add"}, "public": [{"input": [1, 2], "output": 3}], ...}

Fields of a problem:
    id            text, unique in the file                                                            required
    statement     text                                                                                required
    interface     "stdin" (default) or {"call": "function name"}
    public, scoring, hidden
                  lists of {"input": ..., "output": ...}: texts for "stdin"; for a call a list of positional arguments
                  and the return value
    tests         instead of those three: one such list, split on loading. In a training set by `split_tests` (a problem
                  with fewer than 3 tests is left out and counted); in an evaluation set all are hidden and the first
                  up to 2 are public as well
    starter_code  text
    prelude       Python that runs before each program, in its namespace, such as imports
    limits        {"cpu_seconds", "wall_seconds", "memory_bytes", "output_bytes", "processes"}, each optional
    checker       the name of a registered checker (`mars2_env.judge.register_checker`), or null
    reference     a program known to be right, or null
    seed_program  in a repair problem, the program to be repaired; null or left out elsewhere
    metadata      any plain data, by name

Values of call tests and metadata are plain JSON; what JSON lacks is an object with one key, the tag of
`mars2_env.sandbox.worker.values`: {"t": [...]} tuple, {"s": [...]} set, {"f": [...]} frozenset, {"d": [k, v, ...]}
dict, {"i": "ff"} hexadecimal int, {"n": "nan" | "inf" | "-inf"}, {"c": [re, im]} complex, {"b": "base64"} bytes. An
object with any other keys is a dict. A dict whose only key is one of these tags must be written in its tagged form.

Without a first line the name is that of the file, `use` is "training" where a problem has scoring tests or unsplit ones
and "evaluation" otherwise, and the split is "train" or "test" accordingly.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final, get_args

from mars2_env.base.checks import instance
from mars2_env.base.texts import well_formed
from mars2_env.errors import ConfigError, ProblemError, unknown_name
from mars2_env.problems.base import ProblemSet, Provenance, Use
from mars2_env.problems.groups import TOO_FEW_TESTS, grouped
from mars2_env.problems.plain import from_json, problem_line
from mars2_env.problems.records import Place, read_lines
from mars2_env.sandbox.worker.values import ValuesError
from mars2_env.types import GROUPS, Call, Interface, Limits, Problem, Stdin, TestCase

SUFFIXES: Final = (".jsonl", ".jsonl.gz")

_FIELDS: Final = tuple(field.name for field in fields(Problem))
_WELL_FORMED: Final = ("id", "statement", "starter_code", "seed_program")
_LIMITS: Final = tuple(field.name for field in fields(Limits))


def load(*, path: str | None = None, split: str | None = None, use: Use | None = None) -> ProblemSet:
    """Load a problem set from a file of this format.

    Args:
        path: The file.
        split: The split it holds; where the file names one it must be that one.
        use: "training" or "evaluation"; where the file names one it must be that one.

    Raises:
        ConfigError: there is no such file, or it holds another split.
        ProblemError: the file is malformed; names the file, line and field.
    """
    if path is None:
        raise ConfigError("the problem set 'jsonl' is a file: give path='FILE.jsonl'.")
    header: dict[str, Any] = {}
    records: list[tuple[Place, dict[str, Any]]] = []
    for place, record in read_lines(path):
        if "problem_set" in record and not records and not header:
            header = _header(place, record)
        else:
            records.append((place, record))
    if not records:
        raise ProblemError(f"{path}: the file holds no problems.")
    told = any("tests" in record or record.get("scoring") for _, record in records)
    chosen: Use = _agreed(path, "use", header, use) or ("training" if told else "evaluation")
    if chosen not in get_args(Use):
        raise ConfigError(unknown_name("use of a problem set", chosen, get_args(Use)))
    left_out: dict[str, int] = dict(header.get("left_out", {}))
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for place, record in records:
        problem = _problem(place, record, chosen)
        if problem is None:
            left_out[TOO_FEW_TESTS] = left_out.get(TOO_FEW_TESTS, 0) + 1
            continue
        if problem.id in lines:
            place.fail("id", f"{problem.id!r} occurs in line {lines[problem.id]} too; ids are unique in a file.")
        lines[problem.id] = place.line
        problems.append(problem)
    return ProblemSet(
        name=header.get("name") or _stem(path),
        problems=tuple(problems),
        split=_agreed(path, "split", header, split) or ("train" if chosen == "training" else "test"),
        use=chosen,
        left_out=left_out,
        provenance=Provenance(files=(path,)),
    )


def write_jsonl(problem_set: ProblemSet, path: str | Path) -> None:
    """Write a problem set to a file that `load` reads back as an equal one.

    Raises:
        ConfigError: there is no problem set to write, or no folder to write it in.
        ProblemError: a test or the metadata of a problem is not plain data.
    """
    instance("problem_set", problem_set, ProblemSet, "a ProblemSet", where="write_jsonl")
    instance("path", path, str | os.PathLike, "a file", where="write_jsonl")
    if not Path(path).parent.is_dir():
        raise ConfigError(f"write_jsonl(path={str(path)!r}): there is no folder {str(Path(path).parent)!r}; make it.")
    header = {
        "name": problem_set.name,
        "split": problem_set.split,
        "use": problem_set.use,
        "left_out": problem_set.left_out,
    }
    lines = [json.dumps({"problem_set": header}), *map(problem_line, problem_set)]
    data = "".join(line + "\n" for line in lines).encode("ascii")
    # mtime=0: the same set gives the same bytes.
    Path(path).write_bytes(gzip.compress(data, mtime=0) if str(path).endswith(".gz") else data)


def _header(place: Place, record: dict[str, Any]) -> dict[str, Any]:
    header = record["problem_set"]
    if not isinstance(header, dict) or len(record) != 1:
        place.fail("problem_set", 'the first line is {"problem_set": {...}} and nothing else.')
    for key, value in header.items():
        if key not in ("name", "split", "use", "left_out"):
            place.fail("problem_set", unknown_name("key", key, ("name", "split", "use", "left_out")))
        if key != "left_out" and not isinstance(value, str):
            place.fail("problem_set", f"{key} must be a text, not {value!r}.")
    counts = header.get("left_out", {})
    if not isinstance(counts, dict) or not all(type(count) is int for count in counts.values()):
        place.fail("problem_set", f"left_out must map reasons to counts, not be {counts!r}.")
    if "use" in header and header["use"] not in get_args(Use):
        place.fail("problem_set", unknown_name("use", header["use"], get_args(Use)))
    return header


def _agreed(path: str, key: str, header: dict[str, Any], asked: Any) -> Any:
    """Return what the file or the caller says; an error where they disagree."""
    told = header.get(key)
    if told is not None and asked is not None and told != asked:
        raise ConfigError(
            f"{path} says {key} {told!r}; {asked!r} was asked for. Leave {key} out, or give another file."
        )
    return told if told is not None else asked


def _stem(path: str) -> str:
    base = Path(path).name
    return next((base.removesuffix(s) for s in (".jsonl.gz", ".jsonl", ".gz") if base.endswith(s)), base)


def _problem(place: Place, record: dict[str, Any], use: Use) -> Problem | None:
    """Return the problem of one record; None where it has too few tests to be split."""
    known = (*_FIELDS, "prelude", "tests")
    for key in record:
        if key not in known:
            place.fail(key, unknown_name("field", key, known))
    for needed in ("id", "statement"):
        if needed not in record:
            place.fail(needed, "is missing.")
    texts: dict[str, str] = {
        key: _text(place, record, key) for key in ("id", "statement", "starter_code", "prelude") if key in record
    }
    maybe: dict[str, str] = {
        key: _text(place, record, key)
        for key in ("checker", "reference", "seed_program")
        if record.get(key) is not None
    }
    interface = replace(_interface(place, record.get("interface", "stdin")), prelude=texts.get("prelude", ""))
    if "tests" in record:
        for key in GROUPS:
            if key in record:
                place.fail(key, "give either tests, which are split on loading, or public, scoring and hidden.")
        tests = _tests(place, record, "tests", interface)
        groups = grouped(texts["id"], use, tests)
        if isinstance(groups, str):
            if groups == TOO_FEW_TESTS:
                return None
            place.fail("tests", "the problem has no tests at all.")
        public, scoring, hidden = groups
    else:
        public, scoring, hidden = (_tests(place, record, key, interface) for key in GROUPS)
        if use == "evaluation" and scoring:
            place.fail("scoring", "an evaluation set has no scoring tests.")
        if not public + scoring + hidden:
            place.fail("public", "the problem has no tests at all: give public, scoring and hidden, or tests.")
    limits = _limits(place, record.get("limits", {}))
    metadata = _metadata(place, record.get("metadata", {}))
    try:
        return Problem(
            id=texts["id"],
            statement=texts["statement"],
            interface=interface,
            public=public,
            scoring=scoring,
            hidden=hidden,
            checker=maybe.get("checker"),
            starter_code=texts.get("starter_code", ""),
            reference=maybe.get("reference"),
            seed_program=maybe.get("seed_program"),
            limits=limits,
            metadata=metadata,
        )
    except ProblemError as error:
        raise ProblemError(f"{place}: {error}") from error  # which names the field


def _text(place: Place, record: dict[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str) or (key == "id" and not value):
        place.fail(key, f"must be a {'non-empty ' if key == 'id' else ''}text, not {_short(value)}.")
    if key in _WELL_FORMED and well_formed(value) != value:
        place.fail(key, f"holds a lone surrogate, half of a character: {_short(value)}.")
    return value


def _interface(place: Place, value: Any) -> Interface:
    if value == "stdin":
        return Stdin()
    if isinstance(value, dict) and list(value) == ["call"]:
        try:
            return Call(value["call"])
        except ProblemError as error:
            place.fail("interface", str(error))
    place.fail("interface", f'must be "stdin" or {{"call": "function name"}}, not {_short(value)}.')


def _tests(place: Place, record: dict[str, Any], key: str, interface: Interface) -> tuple[TestCase, ...]:
    value = record.get(key, [])
    if not isinstance(value, list):
        place.fail(key, f'must be a list of {{"input": ..., "output": ...}}, not {_short(value)}.')
    found = []
    for index, test in enumerate(value):
        where = f"{key}[{index}]"
        if not isinstance(test, dict) or set(test) != {"input", "output"}:
            place.fail(where, f'must be {{"input": ..., "output": ...}}, not {_short(test)}.')
        if isinstance(interface, Stdin):
            for part, text in test.items():
                if not isinstance(text, str):
                    place.fail(f"{where}.{part}", f'must be a text (the interface is "stdin"), not {_short(text)}.')
            found.append(TestCase(test["input"], test["output"]))
            continue
        values = {}
        for part, content in test.items():
            try:
                values[part] = from_json(content)
            except ValuesError as error:
                place.fail(f"{where}.{part}", f"not plain data: {error}.")
        if not isinstance(values["input"], list):
            place.fail(f"{where}.input", f"must be a list of positional arguments, not {_short(test['input'])}.")
        found.append(TestCase(values["input"], values["output"]))
    return tuple(found)


def _limits(place: Place, value: Any) -> Limits:
    if not isinstance(value, dict):
        place.fail("limits", f"must be an object, not {_short(value)}.")
    for key in value:
        if key not in _LIMITS:
            place.fail("limits", unknown_name("limit", key, _LIMITS))
    try:
        return Limits(**value)
    except ProblemError as error:
        place.fail("limits", str(error))


def _metadata(place: Place, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        place.fail("metadata", f"must be an object, not {_short(value)}.")
    try:
        return {key: from_json(item) for key, item in value.items()}
    except ValuesError as error:
        place.fail("metadata", f"not plain data: {error}.")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
