"""The starter set: problems of our own, made from templates, for training and for trying things out.

`load()` gives a split: five variants of each template, each with constants and tests of its own. Beside the problems
stand programs that fail on purpose: the plausible mistakes of `wrong_programs`, and `hardcode_program`, which knows the
quoted examples and nothing else and must come out at 0 on hidden tests.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, get_args

from mars2_env.base.checks import whole_number
from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems.base import ProblemSet
from mars2_env.problems.catalogue import SETS
from mars2_env.problems.starter import (
    dynamic,
    graphs,
    grids,
    intervals,
    numbers,
    parsing,
    records,
    sequences,
    simulation,
    strings,
    texts,
)
from mars2_env.problems.starter.template import Band, Template
from mars2_env.problems.starter.variants import Split, build, literal, variants
from mars2_env.types import Call, Problem, PublicView

__all__ = ["BANDS", "SPLITS", "TEMPLATES", "VARIANTS", "Template", "hardcode_program", "load", "wrong_programs"]

VARIANTS: Final = 5
"""Problems that a split makes of each template."""

BANDS: Final[tuple[Band, ...]] = get_args(Band)
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

_THEMES: Final = (
    strings,
    numbers,
    sequences,
    records,
    texts,
    simulation,
    grids,
    intervals,
    graphs,
    dynamic,
    parsing,
)

TEMPLATES: Final[tuple[Template, ...]] = tuple(template for theme in _THEMES for template in theme.TEMPLATES)
"""All templates, theme by theme."""

_BY_NAME: Final = {template.name: template for template in TEMPLATES}


def load(
    *,
    path: str | None = None,
    split: str | None = None,
    seed: int = 0,
    band: str | None = None,
    limit: int | None = None,
    **options: Any,
) -> ProblemSet:
    """Return one split of the starter set: the first variant of every template, then the second of every template, ...

    Args:
        path: Not for this set: it comes out of code.
        split: "train" (the default) or "test". They never share a variant, whatever their seeds.
        seed: Which variants; 0 is the set that results are reported on.
        band: Only the templates of one band of difficulty: "easy", "medium" or "hard".
        limit: Only the first so many problems.
        **options: None are known.

    Raises:
        ConfigError: there is no such split, band or option, or a path is given.
    """
    if options:
        raise ConfigError(unknown_name("option of the starter set", next(iter(options)), ("seed", "band", "limit")))
    if path is not None:
        raise ConfigError(f"the starter set comes out of code and takes no path (got {str(path)!r}); leave it out.")
    whole_number("seed", seed, least=0, where="starter")
    if band is not None and band not in BANDS:
        raise ConfigError(unknown_name("band of the starter set", str(band), BANDS))
    if limit is not None:
        whole_number("limit", limit, where="starter")
    return _built(_split("train" if split is None else split), seed, band, limit)


@lru_cache(maxsize=8)
def _built(part: Split, seed: int, band: str | None, limit: int | None) -> ProblemSet:
    """Return a set of checked arguments; kept, since many environments of one process play the same set."""
    chosen = [template for template in TEMPLATES if band in (None, template.band)]
    wanted = [(variant, template) for variant in range(VARIANTS) for template in chosen][:limit]
    constants = {template.name: variants(template, part, seed, VARIANTS) for _, template in wanted[: len(chosen)]}
    problems = tuple(build(t, constants[t.name][variant], part, seed, variant) for variant, t in wanted)
    return ProblemSet("starter", problems, part, "training", provenance=SETS["starter"].provenance())


def wrong_programs(problem_id: str) -> tuple[str, ...]:
    """Return the plausible wrong programs of a problem.

    With seed 0 (the tests prove it) each passes some public tests and fails some scoring and some hidden ones; with
    other seeds one in a thousand or so fails in one of the two unshown groups only.

    Raises:
        ConfigError: no problem of the starter set has this id.
    """
    template, split, seed, variant = _parse(problem_id)
    constants = variants(template, split, seed, VARIANTS)[variant]
    return tuple(template.program(text, constants) for text in template.wrong_texts())


def hardcode_program(problem: Problem | PublicView, default: int | None = -1) -> str:
    """Return the program that knows the public tests by heart and has not understood anything.

    Args:
        problem: Any problem with public tests, or its public view.
        default: On other inputs it answers what it knows for the public test of this index; for None, nothing.
    """
    interface = problem.interface
    known = literal([(test.input, test.output) for test in problem.public])
    other = literal(None if default is None else problem.public[default].output)
    if isinstance(interface, Call):
        return (
            f"KNOWN = {known}\n\n\ndef {interface.name}(*arguments):\n    for seen, answer in KNOWN:\n"
            f"        if seen == list(arguments):\n            return answer\n    return {other}\n"
        )
    return f'import sys\n\nKNOWN = dict({known})\nprint(KNOWN.get(sys.stdin.read(), {other}) or "", end="")\n'


def _split(name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise ConfigError(unknown_name("split of the starter set", str(name), SPLITS))


def _parse(problem_id: str) -> tuple[Template, Split, int, int]:
    """Take an id such as `starter/train/shift-code/3` apart; `7.3` at its end is variant 3 of seed 7."""
    match problem_id.split("/"):
        case ["starter", split, name, number]:
            seed, _, variant = number.rpartition(".")
            if name not in _BY_NAME:
                raise ConfigError(unknown_name("starter template", name, _BY_NAME))
            if variant.isdecimal() and int(variant) < VARIANTS and (not seed or seed.isdecimal()):
                return _BY_NAME[name], _split(split), int(seed or 0), int(variant)
    raise ConfigError(
        f"{problem_id!r} is no problem of the starter set; ids look like 'starter/train/{TEMPLATES[0].name}/0', "
        f"with variants from 0 to {VARIANTS - 1}."
    )
