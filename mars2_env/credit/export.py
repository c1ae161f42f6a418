"""A run's trees as training samples in a file, for those who train elsewhere: Parquet, or lines of JSON.

A row is a `Sample` and its weight; `COLUMNS` says what stands where. Trees are read one after the other and rows are
written a group at a time, so that a run may be larger than memory. The file has its name when it is whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from math import isnan
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from mars2_env.base.checks import one_of, said
from mars2_env.base.extras import needed_by
from mars2_env.base.journal import read_claim
from mars2_env.credit.advantages import Scope
from mars2_env.credit.arrays import Floats
from mars2_env.credit.samples import (
    DAMAGED,
    Credit,
    Sample,
    Samples,
    advantages_of,
    generations,
    samples,
    tokens_written,
    trace_of,
)
from mars2_env.errors import ConfigError, LogError, unknown_name
from mars2_env.log import Tree, check_logs, fold, log_files, read_events, read_header
from mars2_env.version import __version__

Form: TypeAlias = Literal["parquet", "jsonl"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

SCHEMA: Final = 1
"""The version of the columns: it rises when one goes or means something else."""

ROLLOUTS: Final = "rollouts"
"""Where the folder of a training has the run folders of its steps."""

TRAINING: Final = "train.json"
"""The file in which it says which policy each agent has."""

GROUP_TOKENS: Final = 2_000_000
"""How many tokens a group of rows holds, about: what is in memory at a time."""

WITHIN_TREES: Final[tuple[Scope, ...]] = ("tree", "agent_in_tree", "agent_kind")
"""Scopes for which one tree is enough; for others all are read twice, and without their tokens once."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, its type as Arrow calls it, and what stands in it."""

    name: str
    kind: str
    meaning: str


COLUMNS: Final = (
    Column("tree", "string", "the tree, as problem#seed"),
    Column("node", "int32", "its number in the tree, from 1"),
    Column("parent", "int32", "that of its parent; 0 is the root, so the program is fresh"),
    Column("depth", "int32", "1 for a fresh program"),
    Column("agent", "string", "who wrote it"),
    Column("policy", "string", "what acts for that agent"),
    Column("prompt_ids", "list<int64>", "the tokens before the first that was written"),
    Column("completion_ids", "list<int64>", "the tokens from there on, those of tools among them"),
    Column("mask", "list<bool>", "of each completion token: whether the model wrote it, so that it is trained"),
    Column(
        "logprobs", "list<float>", "the sampler's log-probability of each completion token; nan where none is known"
    ),
    Column("logprobs_kind", "string", "of which distribution: sampled, tempered or raw; null where that is not known"),
    Column("temperature", "double", "that of sampling; null where that is not known"),
    Column("top_p", "double", "the probability that was kept; null where that is not known"),
    Column(
        "kept_mass", "list<float>", "the probability of what was kept, at each completion token; empty: not recorded"
    ),
    Column("versions", "list<int32>", "the version of the weights at each completion token"),
    Column("reward", "double", "the raw score of the node"),
    Column("shaped", "double", "after shaping and the penalty on length"),
    Column("advantage", "double", "after normalisation and clipping"),
    Column("duplicate", "bool", "whether the program was in the tree already"),
    Column("weight", "double", "what it counts in a loss: 0 for a duplicate that is masked, else 1"),
)
"""The columns, in order. In lines of JSON they are the keys, and null stands for nan."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        path: the file.
        trees: how many trees gave samples.
        samples: how many rows.
        tokens: how many of their tokens are trained: written by a model, in rows of a weight above 0.
        left_out: reason -> how many trees or nodes gave none.
    """

    path: Path
    trees: int
    samples: int
    tokens: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def damaged(self) -> int:
        """How many nodes gave none because what was recorded of them is damaged or gone."""
        return self.left_out.get(DAMAGED, 0)


def write_samples(
    run: str | Path,
    out: str | Path,
    *,
    form: Form | None = None,
    policies: Mapping[str, str] | None = None,
    credit: Credit | None = None,
    partial: bool = False,
    overwrite: bool = False,
    observer: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write the trees of a run as training samples into a file.

    Args:
        run: a run folder, the folder of a training (`mars2 train`), or the log of one tree.
        out: the file, whose folder is made where it is missing.
        form: `parquet` or `jsonl`; as the file's name ends by default.
        policies: agent -> the policy that acts for it; by default those of the training, else each agent's own name.
        credit: how rewards become advantages; `Credit()` by default, the paper's.
        partial: take trees too that are cut off, or ended by faults: their scores are not those of the whole tree.
        overwrite: whether a file that is there already is replaced.
        observer: told after each tree how many were read, and how many there are.

    Raises:
        ConfigError: the form is unknown, or another than the file's name ends with; the file is there already; or an
            agent has no policy, or a policy is of no agent.
        ExtraError: Parquet is asked for, and pyarrow is missing.
        LogError: there is no log there, or one is damaged.
    """
    target, how = Path(out), credit or Credit()
    if target.exists() and (not overwrite or not target.is_file()):
        hint = "it is there already; overwrite it, or name another"
        if not target.is_file():
            hint = "it is a folder; name a file" if target.is_dir() else "it is no regular file; name another"
        raise ConfigError(f"write_samples(out={str(out)!r}): {hint}.")
    kind = _form_of(target, form)
    files = _logs(Path(run))
    _check_agents(files, policies or {})
    policies = policies or _team(Path(run))
    left: Counter[str] = Counter()
    count = rows = tokens = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    build = Path(name)
    try:
        with _writer(kind, build, _about(how, policies)) as write:
            for place, found in enumerate(_by_tree(files, policies, how, partial, left), start=1):
                if found is not None and found.samples:
                    count += 1
                    weights = [weight(sample, how) for sample in found.samples]
                    write(found.samples, weights)
                    rows += len(weights)
                    tokens += sum(sum(one.mask) for one, w in zip(found.samples, weights, strict=True) if w > 0)
                if observer is not None:
                    observer(place, len(files))
        with build.open("rb") as file:
            os.fsync(file.fileno())
        build.chmod(0o644)
        build.replace(target)
    finally:
        with suppress(FileNotFoundError):
            build.unlink()
    return Exported(target, count, rows, tokens, dict(left))


def weight(sample: Sample, credit: Credit) -> float:
    """Return what a sample counts in a loss."""
    return 0.0 if sample.duplicate and credit.duplicates == "mask" else 1.0


def row(sample: Sample, counts: float) -> dict[str, Any]:
    """Return a sample as one row, column by column; what is not known is None.

    Args:
        sample: the sample.
        counts: its weight.
    """
    return {one.name: counts if one.name == "weight" else getattr(sample, one.name) for one in COLUMNS}


def _form_of(target: Path, form: str | None) -> str:
    """Return the form of a file: what is said, or else what its name ends with; the two have to agree."""
    suffix = target.suffix.removeprefix(".")
    if form is None and suffix not in FORMS:
        raise ConfigError(
            f"write_samples(out={str(target)!r}): the name ends with neither .parquet nor .jsonl, so say which form it "
            "is to have."
        )
    kind = suffix if form is None else form
    one_of("form", kind, FORMS, where="write_samples")
    if suffix in FORMS and suffix != kind:
        raise ConfigError(
            f"{said('form', kind, 'write_samples')}: {str(target)!r} ends with .{suffix}, and whoever reads it would "
            f"take it for that; name it {target.with_suffix(f'.{kind}').name!r}, or leave the form out."
        )
    return kind


def _check_agents(files: Sequence[Path], policies: Mapping[str, str]) -> None:
    """Check that policies are of agents of a run, whose trees all have the same.

    Raises:
        ConfigError: one is of nobody.
    """
    header = next((one for one in map(read_header, files) if one is not None), None)
    if header is None:
        return
    agents = dict(header.task["agents"])
    if strange := next((name for name in policies if name not in agents), None):
        given = said("policies", {strange: policies[strange]}, "write_samples")
        raise ConfigError(f"{given}: {unknown_name('agent', strange, agents)}")


def _logs(place: Path) -> list[Path]:
    """Return the logs of a run folder or of all steps of a training's, or the one that is named."""
    if place.is_file():
        return [place]
    steps = place / ROLLOUTS
    folders = sorted(one for one in steps.iterdir() if one.is_dir()) if steps.is_dir() else [place]
    files = []
    for folder in folders:
        check_logs(folder)
        files += log_files(folder)
    if not files:
        raise LogError(f"{place} holds no trees; a run folder has its logs in {place / 'trees'}.")
    return files


def _team(place: Path) -> Mapping[str, str] | None:
    """Return agent -> policy, as the folder of a training says; None where it is none."""
    if not (place / TRAINING).is_file():
        return None
    team = read_claim(place / TRAINING).get("team")
    return team if isinstance(team, dict) else None


def _by_tree(
    files: Sequence[Path],
    policies: Mapping[str, str] | None,
    credit: Credit,
    partial: bool,
    left: Counter[str],
) -> Iterator[Samples | None]:
    """Yield the samples of each log, None for one that gives none, and count in `left` what is left out."""
    # A credit with a memory is to see each tree once in each of the two readings.
    whole = None if credit.scope in WITHIN_TREES else _advantages_of_all(files, deepcopy(credit), partial)
    for file in files:
        tree = _tree(file)
        why = _unfit(tree, partial)
        if tree is None or why or (whole is not None and file not in whole):
            left[why or "tree is not finished"] += 1
            yield None
            continue
        found = samples([tree], policies=policies, credit=credit)
        left.update(found.left_out)
        if whole is not None:
            gained = whole[file]
            found = Samples(
                tuple(replace(one, advantage=float(gained[one.node - 1])) for one in found.samples), found.left_out
            )
        yield found


def _tree(file: Path) -> Tree | None:
    header, events = read_events(file)
    return None if header is None else fold(header, tuple(events), file)


def _unfit(tree: Tree | None, partial: bool) -> str:
    """Return why a tree is left out; "" if it is not."""
    if tree is None or (tree.ended is None and not partial):
        return "tree is not finished"
    return "tree was ended by faults" if tree.ended == "faults" and not partial else ""


def _advantages_of_all(files: Sequence[Path], credit: Credit, partial: bool) -> dict[Path, Floats]:
    """Return log -> the advantages of its nodes, (nodes,), where what is normalised together spans all trees."""
    trees: list[Tree] = []
    paths: list[Path] = []
    lengths: list[list[int]] = []
    for file in files:
        tree = _tree(file)
        if tree is None or _unfit(tree, partial):
            continue
        trace = trace_of(tree, None)
        trees.append(tree)
        paths.append(file)
        lengths.append([tokens_written(generations(trace.get(node.id))) for node in tree.nodes])
    return dict(zip(paths, advantages_of(trees, credit, lengths)[1], strict=True))


def _about(credit: Credit, policies: Mapping[str, str] | None) -> dict[str, Any]:
    """Return what a file says of itself."""
    told = {one.name: getattr(credit, one.name) for one in fields(credit)}
    if not isinstance(credit.credit, str):
        told["credit"] = getattr(credit.credit, "__qualname__", repr(credit.credit))
    return {"schema": SCHEMA, "package": __version__, "credit": told, "policies": policies}


class _Writes(Protocol):
    """Takes samples and their weights, and is whole when it is left."""

    def __call__(self, found: Sequence[Sample], weights: Sequence[float]) -> None: ...

    def __enter__(self) -> _Writes: ...

    def __exit__(self, *error: object) -> None: ...


def _writer(form: str, path: Path, about: Mapping[str, Any]) -> _Writes:
    return _Parquet(path, about) if form == "parquet" else _JsonLines(path)


class _JsonLines:
    """One JSON object a sample, with null for nan, which JSON does not have."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="ascii")

    def __call__(self, found: Sequence[Sample], weights: Sequence[float]) -> None:
        for sample, counts in zip(found, weights, strict=True):
            values = row(sample, counts)
            for name in ("logprobs", "kept_mass"):
                values[name] = [None if isnan(value) else value for value in values[name]]
            self._file.write(json.dumps(values) + "\n")

    def __enter__(self) -> _JsonLines:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class _Parquet:
    """A Parquet file, written a group of rows at a time; its metadata says how the credit was made."""

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        with needed_by("samples in Parquet"):
            import pyarrow
            import pyarrow.parquet
        self._arrow: Any = pyarrow
        kinds = {"list<int64>": pyarrow.list_(pyarrow.int64()), "list<int32>": pyarrow.list_(pyarrow.int32())}
        kinds |= {"list<bool>": pyarrow.list_(pyarrow.bool_()), "list<float>": pyarrow.list_(pyarrow.float32())}
        self._schema = pyarrow.schema(
            [
                pyarrow.field(
                    one.name,
                    kinds[one.kind] if one.kind in kinds else pyarrow.type_for_alias(one.kind),
                    metadata={"meaning": one.meaning},
                )
                for one in COLUMNS
            ],
            metadata={"mars2_env": json.dumps(about)},
        )
        self._writer = pyarrow.parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []
        self._tokens = 0

    def __call__(self, found: Sequence[Sample], weights: Sequence[float]) -> None:
        for sample, counts in zip(found, weights, strict=True):
            self._rows.append(row(sample, counts))
            self._tokens += len(sample.prompt_ids) + len(sample.completion_ids)
            if self._tokens >= GROUP_TOKENS:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            columns = {one.name: [values[one.name] for values in self._rows] for one in COLUMNS}
            self._writer.write_table(self._arrow.table(columns, schema=self._schema))
            self._rows, self._tokens = [], 0

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                self._flush()
        finally:
            self._writer.close()
