"""The sets of the library keep the contract that sets of users are held to (references are judged elsewhere).

Where there are no real records to be had, they are the hand-written ones of the loaders' own tests.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_problem_contests import CALLS, app, contest, leet, lines
from test_problem_evalplus import hub, mbpp
from test_problem_livecodebench import functional, release

from mars2_env import ProblemSet, load_problems
from mars2_env.testing import ProblemSetContract


class FromSharedData(ProblemSetContract):
    name = ""
    file = ""
    split: str | None = None
    references = 0

    @pytest.fixture(autouse=True)
    def find_data(self, shared: Path) -> None:
        self.path = shared / "data" / self.file

    def make_problems(self) -> ProblemSet:
        return load_problems(self.name, path=self.path, split=self.split)


class TestHumanEval(FromSharedData):
    name, file = "humaneval", "HumanEval.jsonl.gz"


class TestMbppTest(FromSharedData):
    name, file, split = "mbpp", "mbpp.jsonl", "test"


class TestMbppTrain(FromSharedData):
    name, file, split = "mbpp", "mbpp.jsonl", "train"


class TestQuixBugs(FromSharedData):
    name, file = "quixbugs", "quixbugs_python.tar.gz"


class TestDeepCoder(FromSharedData):
    name, file = "deepcoder", "rllm_test_code_code_contests.json"


class FromRecords(ProblemSetContract):
    name = ""
    file = "train.jsonl"
    options: dict[str, Any] = {}  # noqa: RUF012
    references = 0

    def records(self) -> list[dict[str, Any]]:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def write(self, tmp_path: Path) -> None:
        self.path = lines(tmp_path / self.file, *self.records())

    def make_problems(self) -> ProblemSet:
        return load_problems(self.name, path=self.path, **self.options)


class TestCodeContests(FromRecords):
    name = "codecontests"

    def records(self) -> list[dict[str, Any]]:
        return [contest(), contest("2_B. Twice")]


class TestCodeContestsTest(TestCodeContests):
    file = "test.jsonl"


class TestApps(FromRecords):
    name = "apps"

    def records(self) -> list[dict[str, Any]]:
        return [app(), app(1, input_output=json.dumps(CALLS))]


class TestTaco(FromRecords):
    name = "taco"

    def records(self) -> list[dict[str, Any]]:
        return [app() | {"time_limit": "2 seconds", "difficulty": "EASY"}]


class TestLeetCode(FromRecords):
    name = "leetcode"

    def records(self) -> list[dict[str, Any]]:
        return [leet()]


class TestLiveCodeBench(FromRecords):
    name, file = "livecodebench", "test6.jsonl"

    def records(self) -> list[dict[str, Any]]:
        return [release(), functional()]


class TestEvalPlus(FromRecords):
    name, file = "evalplus", "test.jsonl"

    def records(self) -> list[dict[str, Any]]:
        return [hub()]


class TestEvalPlusMbpp(FromRecords):
    name, file = "evalplus", "test.jsonl"

    def records(self) -> list[dict[str, Any]]:
        return [mbpp()]
