"""A policy over a miniature model: it reads a turn's names and parent, samples letters, and answers with a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from mars2_agents.learners.learner import WeightsRef
from mars2_agents.policies.sampling import Completion, Request, sample
from safetensors.torch import load_file

from mars2_bench.training.language import END, LONGEST, completion_ids, letters_in, prompt_ids
from mars2_bench.training.world import letters_of, pipeline_of, program_of
from mars2_env.types import Generation, Reply, Turn

TEMPERATURE: Final = 1.0


class MiniaturePolicy:
    """Samples programs from a miniature model, at temperature 1 from all of the vocabulary, and tells its tokens.

    Args:
        model: a causal language model of transformers over `VOCABULARY`.

    Attributes:
        weights_version: of the weights; goes into generations.
        completions: how many it wrote.
        tokens: of all of them.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        self.weights_version = 0
        self.completions = 0
        self.tokens = 0

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order, sampled in one batch."""
        requests = [Request(self.prompt_ids(turn), turn.seed, TEMPERATURE, 1.0, LONGEST) for turn in turns]
        completions = sample(self.model, requests, eos_ids=(END,), pad_id=END)
        self.completions += len(completions)
        self.tokens += sum(len(one.ids) for one in completions)
        return [self._reply(*pair) for pair in zip(requests, completions, strict=True)]

    def prompt_ids(self, turn: Turn) -> tuple[int, ...]:
        """Return the tokens that the model is asked with."""
        parent = None if turn.program is None else letters_of(turn.program)
        return prompt_ids(pipeline_of(turn.problem.statement), parent)

    def completion_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of the answer that is this program."""
        return completion_ids(letters_of(text))

    def load_weights(self, ref: WeightsRef) -> None:
        """Act with the weights of a checkpoint from the next turn on."""
        self.model.load_state_dict(load_file(Path(ref.path) / "model.safetensors"))
        self.weights_version = ref.version

    def _reply(self, request: Request, completion: Completion) -> Reply:
        generation = Generation(
            prompt_ids=request.prompt,
            completion_ids=completion.ids,
            logprobs=completion.logprobs,
            finish_reason=completion.finish_reason,
            weights_version=self.weights_version,
            logprobs_kind="sampled",
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            kept_mass=completion.kept_mass,
        )
        return Reply(program_of(letters_in(completion.ids)), generation=generation)
