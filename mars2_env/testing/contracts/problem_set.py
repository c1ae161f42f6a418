"""What episodes, the judge and evaluation rely on in a problem set."""

from __future__ import annotations

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

from mars2_env import Judge, ProblemError, ProblemSet, Sandbox, load_problems, make_sandbox
from mars2_env.problems import jsonl
from mars2_env.types import GROUPS


class ProblemSetContract:
    """The contract of a `ProblemSet`; inherit it and write `make_problems`.

    Attributes:
        references: how many reference programs are run, spread over the set; 0 runs none.
        failing: ids of problems whose reference is known to fail, and why.
    """

    references = 5
    failing: dict[str, str] = {}  # noqa: RUF012

    def make_problems(self) -> ProblemSet:
        """Return the set, loaded anew."""
        raise NotImplementedError("write make_problems(self), which returns the problem set, loaded anew.")

    def make_sandbox(self) -> Sandbox:
        """Return the sandbox that reference programs run in; the test closes it."""
        return make_sandbox()

    def test_it_is_a_set_of_problems(self) -> None:
        """It holds problems with statements, and finds each by its id."""
        found = self.make_problems()
        assert isinstance(found, ProblemSet), f"{found!r:.200} is no ProblemSet."
        assert len(found) > 0, "the set is empty."
        assert found.use in ("training", "evaluation"), f"use={found.use!r} is neither training nor evaluation."
        for problem in found:
            assert found[problem.id] is problem, f"looking {problem.id!r} up does not find it."
            assert problem.statement.strip(), f"{problem.id}: the statement is empty."

    def test_tests_come_in_the_groups_that_its_use_asks_for(self) -> None:
        """Training sets have all three groups; evaluation sets have hidden tests and no scoring ones."""
        found = self.make_problems()
        for problem in found:
            have = [group for group in GROUPS if problem.tests(group)]
            if found.use == "training":
                assert have == list(GROUPS), f"{problem.id}: a training problem has all of {GROUPS}, not only {have}."
            else:
                assert problem.hidden, f"{problem.id}: an evaluation problem has hidden tests."
                assert not problem.scoring, f"{problem.id}: an evaluation problem has no scoring tests."

    def test_nothing_that_is_hidden_is_in_the_public_view(self) -> None:
        """The public view is what acts and trains may see."""
        for problem in self.make_problems():
            view = problem.public_view()
            assert view.public == problem.public, f"{problem.id}: the view's tests are not the public ones."
            if problem.reference is not None and problem.reference.strip():
                shown = view.statement + view.starter_code
                assert problem.reference.strip() not in shown, f"{problem.id}: the reference program is shown."

    def test_loading_again_gives_the_same_set(self) -> None:
        """The same hash: logs are checked against it when they are resumed."""
        first, again = self.make_problems(), self.make_problems()
        assert first.hash == again.hash, "two loads of the set differ."
        assert pickle.loads(pickle.dumps(first)).hash == first.hash, "a pickled copy of the set differs."

    def test_it_is_plain_data(self) -> None:
        """Written as JSON lines and read back it is the same set."""
        found = self.make_problems()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "set.jsonl"
            try:
                jsonl.write_jsonl(found, path)
                again = load_problems(path, split=found.split, use=found.use)
            except ProblemError as error:
                raise AssertionError(f"the set cannot be written as JSON lines and read back: {error}") from error
        assert again.problems == found.problems, "the set read back from JSON lines differs."

    def test_reference_programs_pass_all_tests(self) -> None:
        """Some of those problems that have one are judged on all of their tests."""
        known = [problem for problem in self.make_problems() if problem.reference and problem.id not in self.failing]
        if not known or not self.references:
            return
        with self.make_sandbox() as sandbox:
            judge = Judge(sandbox)
            for problem in known[:: max(1, len(known) // self.references)][: self.references]:
                verdict = judge.grade(problem, problem.reference or "", tests="all")
                assert verdict.passed, f"{problem.id}: the reference program does not pass: {verdict.outcomes}"
