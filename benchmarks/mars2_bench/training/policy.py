"""A policy over a miniature model: it reads a turn's names and parent, samples letters, and answers with a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mars2_agents.policies.sampling import Completion, Request, sample
from mars2_bench.training.language import END, LONGEST, completion_ids, letters_in, prompt_ids
from mars2_bench.training.world import letters_of, pipeline_of, program_of
from mars2_env.types import Generation, Reply, Turn

TEMPERATURE: Final = 1.0


class MiniaturePolicy:
    """Samples programs from a miniature model, at temperature 1 from all of the vocabulary, and tells its tokens.

    Args:
        model: a causal language model of transformers over `VOCABULARY`. It may be the one that a learner trains: then
            new weights are there as soon as they are made.
        version: of the weights; goes into generations.
    """

    def __init__(self, model: Any, version: int = 0) -> None:
        self.model = model
        self.version = version
        self.tokens = 0

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order, sampled in one batch."""
        requests = [Request(self.prompt_ids(turn), turn.seed, TEMPERATURE, 1.0, LONGEST) for turn in turns]
        completions = sample(self.model, requests, eos_ids=(END,), pad_id=END)
        self.tokens += sum(len(one.ids) for one in completions)
        return [self._reply(*pair) for pair in zip(requests, completions, strict=True)]

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the model is asked with."""
        parent = None if turn.program is None else letters_of(turn.program)
        return prompt_ids(pipeline_of(turn.problem.statement), parent)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of the answer that is this program."""
        return completion_ids(letters_of(text))

    def _reply(self, request: Request, completion: Completion) -> Reply:
        generation = Generation(
            prompt_ids=request.prompt,
            completion_ids=completion.ids,
            logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            weights_version=self.version,
            logprobs_kind="sampled",
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            kept_mass=completion.kept_mass,
        )
        return Reply(program_of(letters_in(completion.ids)), generation=generation)


def fresh_programs(model: Any, statements: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Return the letters of one fresh answer to each statement, without a tree."""
    requests = [
        Request(prompt_ids(pipeline_of(statement)), seed, TEMPERATURE, 1.0, LONGEST)
        for statement, seed in zip(statements, seeds, strict=True)
    ]
    found = sample(model, requests, eos_ids=(END,), pad_id=END, batch_size=256)
    return [letters_in(one.ids) for one in found]
