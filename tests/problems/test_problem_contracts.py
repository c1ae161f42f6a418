"""The sets of the library keep the contract that sets of users are held to (references are judged elsewhere)."""

from __future__ import annotations

from pathlib import Path

import pytest

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
