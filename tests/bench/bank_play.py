"""Plays the bank in the ordinary environment without running anything: programs come to what the tables say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mars2_bench.suite.authors import PLAIN, BankAuthor, from_spec, programs_of
from mars2_bench.suite.bank import Bank, read_bank
from mars2_bench.suite.staged import SHOWN, Kinds

import mars2_env
from mars2_env import ProblemSet, Run, Task
from mars2_env.sandbox.worker.values import encode
from mars2_env.testing import ScriptedSandbox

GROUPS = ("public", "scoring", "hidden")


def few_problems(count: int, split: str = "train") -> ProblemSet:
    """Return every so many problems of the starter set, both kinds of interfaces among them."""
    found = mars2_env.load_problems("starter", split=split).problems
    return ProblemSet("starter", found[:: len(found) // count][:count], split, "training")


def table_sandbox(problems: ProblemSet, bank: Bank | None = None, kinds: Kinds = PLAIN) -> ScriptedSandbox:
    """Return a sandbox that answers each of the bank's programs with a run that comes to what the bank says."""
    bank = bank or read_bank()
    known: dict[tuple[str, bytes], Run] = {}
    staged = kinds.outcomes(bank, GROUPS)
    for problem in problems:
        cases = [case for group in GROUPS for case in problem.tests(group)]
        programs, place = programs_of(bank, problem.id, kinds), bank.places[problem.id]
        for mask in range(1 << len(kinds.names(bank, place))):
            for case, code in zip(cases, bank.codes[place, programs.real(mask)].tolist(), strict=True):
                run = (Run("ok", output=case.output), Run("ok", output="something else"), Run("runtime_error"))[code]
                if mask & kinds.staged:
                    run = Run(SHOWN[staged[place, mask]])
                known[programs.text(mask).strip(), encode(case.input)] = run
    return ScriptedSandbox(lambda program, given: known[program.strip(), encode(given)])


def bank_task(
    game: str,
    problems: ProblemSet,
    authors: Sequence[str | BankAuthor] = ("able", "hopeless", "numbers"),
    **options: Any,
) -> Task:
    """Return a task of `route`, or of `place` in rounds, whose generators are the bank's authors."""
    generators = [from_spec(author) if isinstance(author, str) else author for author in authors]
    options = {"score": "fraction", "sandbox": "scripted", "budget": 6, **options}
    api = "gymnasium" if game == "route" else "parallel"
    agents = [name + "_0" for name in ("first", "second", "third", "fourth")[: len(authors)]]
    return mars2_env.task(problems, game=game, api=api, agents=agents, generators=generators, **options)


def same(one: Any, other: Any, where: str = "") -> None:
    """Assert that two observations, infos, rewards or ends are equal to the byte, types of arrays included."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert set(one) == set(other), f"{where}: {set(one) ^ set(other)}"
        for name in one:
            same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            same(left, right, f"{where}[{place}]")
    elif isinstance(one, np.ndarray) and one.dtype == object:
        assert one.dtype == other.dtype and len(one) == len(other), where
        for left, right in zip(one, other, strict=True):
            same(left, right, where)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape, where
        assert one.tobytes() == other.tobytes(), f"{where}: differs at {np.argwhere(one != other)[:5].tolist()}"
    else:
        assert one == other, where
