"""Plain reward functions: a reply is judged and no tree is grown, in the forms that TRL, verl and OpenRLHF call.

What ties a reply to its problem is the problem's id: a column `problem` of the dataset in TRL, the `ground_truth` in
verl, the label in OpenRLHF. Neither prompts nor datasets hold a test that may not be quoted.

A reply is read as trainers hand it over: a text with or without special tokens, or a conversation. Only what the model
itself wrote is ever judged: never a program that stands in its prompt, nor what a tool said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

import mars2_env
from mars2_env import Call, ConfigError, Judge, Problem, ProblemSet, Sandbox, SandboxError
from mars2_env.prompt import Prompts
from mars2_env.prompt.contexts import FreshContext
from mars2_env.prompt.marks import GLUE
from mars2_env.prompt.programs import extract_program

SCORES: Final = ("pass", "fraction")
ATTEMPTS: Final = 3

_making = Lock()


def _new_lock() -> None:
    global _making
    _making = Lock()


os.register_at_fork(after_in_child=_new_lock)  # a thread that held it at the fork is not there to let go of it


class JudgeReward:
    """Scores replies by the tests of their problems: 1 or 0 ("pass"), or the share of tests that pass ("fraction").

    It may be used before and after a fork, pickled and copied: each process has workers of its own.

    Args:
        problems: A problem set, or the name of one.
        sandbox: A sandbox, or a kind ("auto"); one that is made here is made when it is first needed.
        score: "pass" or "fraction".
        tests: The groups that are judged; "scoring" is for training. Hidden tests are refused.
        threads: How many replies are judged side by side.
        tokenizer: The model's, whose special tokens are taken off the ends of replies. The usual forms (`<|...|>`,
            `</s>`, `<eos>`, `<end_of_turn>`, ...) are without it, too.

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
        tokenizer: Any = None,
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
        if not isinstance(threads, int) or threads < 1:
            raise ConfigError(f"threads={threads!r}: a whole number from 1 is needed.")
        self._threads = threads
        self._tokens = () if tokenizer is None else _special_tokens(tokenizer)

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: all but a sandbox that was made here, which is made again where it is needed."""
        return self.__dict__ | ({"_sandbox": None} if isinstance(self._kind, str) else {})

    def score(self, problem: str, reply: str) -> float:
        """Return the score of one reply, in [0, 1]; a reply without a program scores 0.

        Raises:
            ConfigError: there is no such problem.
            SandboxError: the sandbox could not decide, several times in a row; that is no score.
        """
        found = self.problems[problem]
        reply = _without(self._tokens, reply)
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
        # Threads of this call alone: those of an earlier one would be missing in a process that was forked since.
        with ThreadPoolExecutor(self._threads, thread_name_prefix="mars2-reward") as threads:
            return list(threads.map(self.score, problems, replies))

    def trl_reward(self, completions: Sequence[Any], problem: Sequence[str], **columns: Any) -> list[float]:
        """Return rewards as TRL's trainers ask for them (`reward_funcs=judge.trl_reward`).

        Args:
            completions: Texts, or conversations: the reply is the last message of the assistant that says something.
                Contents are texts, parts (`[{"type": "text", "text": ...}]`) or None.
            problem: The dataset's column of problem ids (`prompt_rows` makes one).
            **columns: Other columns, and what the trainer passes besides.
        """
        return self.scores(problem, [_reply(completion) for completion in completions])

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
        found = self.score(ground_truth, _reply(solution_str))
        return {"score": found, "acc": float(found == 1.0)}

    def openrlhf_rewards(self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
        """Return rewards as OpenRLHF asks for them (`reward_func` of the file that `--reward.remote_url` names).

        Args:
            queries: Prompts with their replies behind them, with special tokens or without.
            prompts: The prompts.
            labels: The problems' ids.

        Raises:
            ConfigError: a query does not hold its prompt, special tokens and white space apart: then the reply cannot
                be told from a program that the prompt quotes.
        """
        import torch  # OpenRLHF takes tensors, and has torch

        replies = [_behind(prompt, query, self._tokens) for query, prompt in zip(queries, prompts, strict=True)]
        found = torch.tensor(self.scores(labels, replies))
        return {"rewards": found, "scores": found, "extra_logs": {"solved": (found == 1).float()}}

    def _judged(self, problem: Problem, program: str) -> float:
        with _making:
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


def _reply(completion: Any) -> str:
    """Return what the model wrote in a completion: a text, a message, or a conversation."""
    if completion is None or isinstance(completion, str):
        return completion or ""
    messages = completion if isinstance(completion, Sequence) else [completion]
    own = [each for each in messages if _field(each, "role") in ("assistant", "model", None)]
    said = [each if isinstance(each, str) else _text(_field(each, "content")) for each in own]
    return next((text for text in reversed(said) if text.strip()), "")


def _field(message: Any, name: str) -> Any:
    """Return a field of a message: a mapping, as datasets have it, or an object, as clients do."""
    return message.get(name) if isinstance(message, Mapping) else getattr(message, name, None)


def _text(content: Any) -> str:
    """Return the text of a message's content: a text, parts of several types, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, Sequence) else [content]
    texts = [each if isinstance(each, str) else _part(each) for each in parts]
    return "".join(text for text in texts if isinstance(text, str))


def _part(part: Any) -> Any:
    """Return the text of a part; None where it is an image, a call of a tool, or thinking."""
    return _field(part, "text") if _field(part, "type") in ("text", "output_text", None) else None


def _special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Return the special tokens of a tokenizer, the longest first: the named ones and those only marked as special."""
    marked = getattr(tokenizer, "added_tokens_decoder", {}).values()
    found = {*tokenizer.all_special_tokens, *(str(token) for token in marked if getattr(token, "special", False))}
    return tuple(sorted((token for token in found if token.strip()), key=lambda token: (-len(token), token)))


def _without(tokens: Iterable[str], reply: str) -> str:
    """Return a reply without these tokens, and white space between them, at its ends."""
    tokens = tuple(tokens)
    begin, end = 0, len(reply)
    while tokens:
        bare = end
        while bare > begin and reply[bare - 1].isspace():
            bare -= 1
        last = next((token for token in tokens if reply.endswith(token, begin, bare)), None)
        first = next((token for token in tokens if reply.startswith(token, begin, end)), None)
        if last is None and first is None:
            break
        end = end if last is None else bare - len(last)
        begin = begin if first is None or begin + len(first) > end else begin + len(first)
    return reply[begin:end]


def _behind(prompt: Any, query: Any, tokens: Sequence[str]) -> str:
    """Return what stands behind the prompt in a query.

    Templates put text around a prompt, and decoding adds or drops special tokens and spaces: both are looked through.

    Raises:
        ConfigError: the prompt does not stand in the query.
    """
    if isinstance(prompt, str) and isinstance(query, str) and prompt.strip():
        if query.startswith(prompt):
            return query[len(prompt) :]
        sought = "".join(letter for _, letter in _letters(prompt, tokens))
        shown = list(_letters(query, tokens))
        found = "".join(letter for _, letter in shown).find(sought)
        if sought and found >= 0:
            return query[shown[found + len(sought) - 1][0] + 1 :]
    raise ConfigError(
        f"the query {query!r:.200} does not hold its prompt {prompt!r:.200}: the reply cannot be told from the prompt. "
        "Give prompts as they were tokenised, and room for all of them (they may have been cut to a length)."
    )


def _letters(text: str, tokens: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield each character of a text that is no white space and in no special token, with its place."""
    place = 0
    while place < len(text):
        token = next((token for token in tokens if text.startswith(token, place)), None)
        known = GLUE.match(text, place) if token is None and text[place] in "<[" else None
        if token is not None:
            place += len(token)
        elif known is not None:
            place = known.end()
        else:
            if not text[place].isspace():
                yield place, text[place]
            place += 1
