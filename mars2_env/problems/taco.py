"""TACO (Li et al. 2023, arXiv 2312.14852): 26,443 problems of contests and courses.

Read are records of the hub's form (`BAAI/TACO`), in Parquet or as lines of JSON: question, input_output, solutions,
starter_code, time_limit, and further ones that are passed over. Tests are those of APPS (`mars2_env.problems.apps`),
with the same rules and the same that is left out; the official comparison of texts is another one (`taco_output`):
equal but for white space at both ends. Tested on records written by hand in that schema.

Splits: `train` (training) and `test` (evaluation). The source has no ids: `TACO/train/0` is the first record.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from mars2_env.problems import apps
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.collect import Collection
from mars2_env.problems.hub import rows
from mars2_env.problems.records import as_row

TEXTS: Final = "taco_output"
_SECONDS: Final = re.compile(r"\s*([0-9]{1,4}(?:\.[0-9]{1,6})?)\s*(?:s|sec|secs|seconds?)\b", re.IGNORECASE)


class _Row(msgspec.Struct):
    question: str
    input_output: Any = None
    solutions: Any = None
    starter_code: str | None = None
    time_limit: str | None = None


def load(*, path: str | None = None, split: str | None = None, hub: str | None = None) -> ProblemSet:
    """Load one split of TACO.

    Args:
        path: A file or a folder of files; the hub's where it is left out.
        split: "train" or "test"; where the file's name tells it, it need not be said.
        hub: Another place on the hub.

    Raises:
        ConfigError: there is no such split or file, or no way to the hub.
        ProblemError: a record is malformed; names file, record, field and value.
    """
    info = SETS["taco"]
    chosen, use = info.choose(split, path)
    found = Collection(info, chosen, use)
    for number, (place, record) in enumerate(rows(info, path, chosen, hub)):
        row = as_row(place, record, _Row)
        limit = _SECONDS.match(row.time_limit or "")
        apps.add(found, place, f"TACO/{chosen}/{number}", row, float(limit[1]) if limit else None, TEXTS)
    return found.done(path)
