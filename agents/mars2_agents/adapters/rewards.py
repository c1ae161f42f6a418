"""Plain reward functions: a reply is judged and no tree is grown, in the forms that TRL, verl and OpenRLHF call.

What ties a reply to its problem is the problem's id: a column `problem` of the dataset in TRL, the `ground_truth` in
verl, the label in OpenRLHF. Neither prompts nor datasets hold a test that may not be quoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import mars2_env
from mars2_env import Call, ConfigError, Judge, Problem, ProblemSet, Sandbox, SandboxError
from mars2_env.prompt import Prompts
from mars2_env.prompt.contexts import FreshContext
from mars2_env.prompt.programs import extract_program

SCORES: Final = ("pass", "fraction")
ATTEMPTS: Final = 3


class JudgeReward:
    """Scores replies by the tests of their problems: 1 or 0 ("pass"), or the share of tests that pass ("fraction").

    Args:
        problems: A problem set, or the name of one.
        sandbox: A sandbox, or a kind ("auto"); one that is made here is made when it is first needed.
        score: "pass" or "fraction".
        tests: The groups that are judged; "scoring" is for training. Hidden tests are refused.
        threads: How many replies are judged side by side.

    Raises:
        ConfigError: an argument makes no sense, or the set is one for evaluation, which is not trained on.
    """

    def __init__(
        self,
        problems: ProblemSet | str,
        sandbox: Sandbox | str = "auto",
        *,
        score: str = "pass",
        tests: Sequence[str] = ("public", "scoring"),
        threads: int = 16,
    ) -> None:
        if score not in SCORES:
            raise ConfigError(f"score={score!r} is not one of {', '.join(SCORES)}.")
        tests = (tests,) if isinstance(tests, str) else tuple(tests)
        if not tests or set(tests) - {"public", "scoring"}:
            raise ConfigError(f"tests={tests!r}: rewards come from public and scoring tests, never from hidden ones.")
        self.problems = mars2_env.load_problems(problems) if isinstance(problems, str) else problems
        if self.problems.use != "training":
            raise ConfigError(
                f"problem set {self.problems.name!r} is one for evaluation; rewards are for training sets."
            )
        self._kind = sandbox
        self._sandbox = None if isinstance(sandbox, str) else sandbox
        self._score, self._tests = score, tests
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="mars2-reward")

    def score(self, problem: str, reply: str) -> float:
        """Return the score of one reply, in [0, 1]; a reply without a program scores 0.

        Raises:
            ConfigError: there is no such problem.
            SandboxError: the sandbox could not decide, several times in a row; that is no score.
        """
        found = self.problems[problem]
        program = extract_program(reply, found.interface.name if isinstance(found.interface, Call) else None)
        if program is None:
            return 0.0
        for attempt in range(ATTEMPTS):
            try:
                return self._judged(found, program)
            except SandboxError:
                if attempt == ATTEMPTS - 1:
                    raise
        raise AssertionError("not reached")

    def scores(self, problems: Sequence[str], replies: Sequence[str]) -> list[float]:
        """Return the score of each reply, judged side by side, in order.

        Raises:
            ConfigError: there is no such problem, or the lists differ in length.
            SandboxError: the sandbox could not decide one of them.
        """
        if len(problems) != len(replies):
            raise ConfigError(f"{len(problems)} problems for {len(replies)} replies; one each is needed.")
        return list(self._threads.map(self.score, problems, replies))

    def trl_reward(self, completions: Sequence[Any], problem: Sequence[str], **columns: Any) -> list[float]:
        """Return rewards as TRL's trainers ask for them (`reward_funcs=judge.trl_reward`).

        Args:
            completions: Texts, or conversations whose last message is the reply.
            problem: The dataset's column of problem ids (`prompt_rows` makes one).
            **columns: Other columns, and what the trainer passes besides.
        """
        return self.scores(problem, [_text(completion) for completion in completions])

    def verl_score(
        self, data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, **options: Any
    ) -> dict[str, float]:
        """Return the score of one reply as verl's reward managers ask for it (`custom_reward_function`).

        Args:
            data_source: Not used: the problem's id says all.
            solution_str: The reply.
            ground_truth: The problem's id.
            extra_info: Not used.
            **options: Not used.
        """
        found = self.score(ground_truth, solution_str)
        return {"score": found, "acc": float(found == 1.0)}

    def openrlhf_rewards(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Return rewards as OpenRLHF asks for them (`reward_func` of the file that `--reward.remote_url` names).

        Args:
            queries: Prompts with their replies behind them.
            prompts: The prompts.
            labels: The problems' ids.
        """
        import torch  # OpenRLHF takes tensors, and has torch

        pairs = zip(queries, prompts, strict=True)
        replies = [query[len(prompt) :] if query.startswith(prompt) else query for query, prompt in pairs]
        found = torch.tensor(self.scores(labels, replies))
        return {"rewards": found, "scores": found, "extra_logs": {"solved": (found == 1).float()}}

    def _judged(self, problem: Problem, program: str) -> float:
        if self._sandbox is None:
            self._sandbox = mars2_env.make_sandbox(str(self._kind))
        stop = "never" if self._score == "fraction" else "first_failure"
        verdict = Judge(self._sandbox).grade(problem, program, tests=self._tests, stop=stop)  # type: ignore[arg-type]
        return float(verdict.passed) if self._score == "pass" else float(verdict.fraction or 0.0)


def prompt_rows(problems: ProblemSet | str, *, prompts: Prompts | None = None) -> list[dict[str, Any]]:
    """Return a row for each problem: `prompt` (chat messages) and `problem` (its id); `datasets.Dataset.from_list`."""
    found = mars2_env.load_problems(problems) if isinstance(problems, str) else problems
    words = prompts or Prompts()
    return [
        {
            "prompt": [dict(message) for message in words.messages(FreshContext(problem.public_view(), ""))],
            "problem": problem.id,
        }
        for problem in found
    ]


def _text(completion: Any) -> str:
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    return content if isinstance(content, str) else ""
