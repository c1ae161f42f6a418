"""Small runs to be looked at, grown without a sandbox: what is in them is hostile on purpose where a test says so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mars2_env
from mars2_env.problems.plain import problem_line
from mars2_env.sandbox.scripted import ScriptedSandbox
from mars2_env.types import Generation, Reply, Run, Step, Turn

STATEMENT = "Print the word that is asked for."

HOSTILE = (
    "</script><script>window.broken=1</script><img src=x onerror='window.broken=2'><svg/onload=window.broken=3>"
    "<!--<script>\u2028\u2029\u202e\x1b[2J\x00\u200b&lt;${window.broken=4}`\"'javascript:window.broken=5"
)


def problems(
    count: int = 3, statement: str = STATEMENT, prefix: str = "words/", seed_program: str | None = None
) -> mars2_env.ProblemSet:
    case = mars2_env.TestCase
    return mars2_env.ProblemSet(
        "words",
        tuple(
            mars2_env.Problem(
                f"{prefix}{number}",
                f"{statement} ({number})",
                public=(case("", "one"), case("1", "two")),
                scoring=(case("SECRET-SCORING", "SECRET-SCORING"),) * 3,
                hidden=(case("SECRET-HIDDEN", "SECRET-HIDDEN"),) * 3,
                reference="print('SECRET-REFERENCE')",
                seed_program=seed_program,
            )
            for number in range(count)
        ),
    )


class Writer:
    """Writes programs that differ in a line, some of them twice; every reply has tokens."""

    def __init__(self, text: Callable[[Turn], str] | None = None) -> None:
        self._text = text or (lambda turn: f"x = {turn.seed % 5}\nprint('two')  # {turn.agent}")

    def act(self, turns: list[Turn]) -> list[Reply]:
        generation = Generation(prompt_tokens=7, completion_tokens=11, temperature=0.5)
        return [
            Reply(
                f"Here it is:\n```python\n{self._text(turn)}\n```",
                None if turn.parent is not None else turn.parents[-1],
                generation,
            )
            for turn in turns
        ]


class Staged(Writer):
    """Plans, tries its program on public tests, and then writes it: three steps a reply."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        steps = (
            Step("planner", Generation(completion_ids=(5, 6), logprobs=(-0.5, -1.5), text="Print a word.")),
            Step("public_tests", call="print('one')", observation="wrong answer on test 2", seconds=0.25),
            Step("coder", Generation(completion_ids=(7,), finish_reason="length", text="Here it is.")),
        )
        return [replace(reply, generation=None, steps=steps) for reply in super().act(turns)]


def answers(program: str, given: str) -> Run:
    """What a program comes to: the half of them is wrong, some fail."""
    kind = sum(program.encode()) % 4
    if kind == 0:
        return Run("runtime_error", error_type="ValueError", error_message=program[:200], traceback=program[:200])
    word = {"": "one", "1": "two"}.get(given, given)
    return Run("ok", output=word if kind > 1 else "three")


def sandbox() -> ScriptedSandbox:
    """The sandbox that all of these runs are grown in."""
    return ScriptedSandbox(answers)


def problem_file(
    file: Path, count: int, statement: str = STATEMENT, prefix: str = "words/", seed_program: str | None = None
) -> Path:
    """Write the problems into a file of the library's own format."""
    head = json.dumps({"problem_set": {"name": "words", "split": "train", "use": "training"}})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        "\n".join([head, *map(problem_line, problems(count, statement, prefix, seed_program))]), encoding="utf-8"
    )
    return file


def grown(
    out: Path,
    *,
    count: int = 3,
    budget: int = 12,
    seed: int = 0,
    text: Callable[[Turn], str] | None = None,
    prefix: str = "words/",
    statement: str = STATEMENT,
    seed_program: str | None = None,
    in_flight: int = 1,
    writer: Writer | None = None,
    **options: Any,
) -> Path:
    """Grow a run into a folder, its problems beside it in a file, and return the folder."""
    file = problem_file(out.parent / f"{out.name}.jsonl", count, statement, prefix, seed_program)
    given = {"budget": budget, "agents": ["coder", "fixer"], "sandbox": sandbox(), **options}
    task = mars2_env.task(str(file), **given)
    for _ in mars2_env.rollout(task, writer or Writer(text), out=out, seed=seed, in_flight=in_flight):
        pass
    return out


def many_events(nodes: int) -> Iterator[str]:
    """Yield the lines of a large tree's events, whatever a selector would have chosen."""
    rng = random.Random(0)
    verdicts = {
        0.0: {"groups": {"public": ["wrong_answer", "not_run"]}, "settled": None, "feedback": None},
        1.0: {"groups": {"public": ["passed", "passed"]}, "settled": None, "feedback": None},
    }
    for turn in range(nodes):
        parent = 0 if rng.random() < 0.15 else rng.randrange(turn // 2, turn + 1)
        score = float(rng.random() < 0.1)
        agent = "coder_0" if rng.random() < 0.5 else "fixer_0"
        yield json.dumps({"event": "asked", "turn": turn, "agent": agent, "parent": parent, "seed": turn})
        told = {"turn": turn, "node": turn + 1, "parent": parent, "score": score, "verdict": verdicts[score]}
        yield json.dumps({"event": "told", **told, "reply": f"x = {turn}", "program": f"x = {turn}", "given": True})
