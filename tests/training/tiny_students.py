"""A toy to train on: programs are lines `print(N)`, the sum of a program's numbers modulo 2 is what is asked for.

The tokenizer knows these lines and little else, so that whatever a random model writes is a program that may be right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from mars2_agents.algorithms.lesson import Crew, Lesson, Scores
from mars2_agents.learners import losses
from mars2_agents.learners.learner import Learner, Optimising
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.training.evaluating import HeldOut
from mars2_agents.training.settings import Settings, Student
from mars2_agents.training.trainer import Training, train

import mars2_env
from mars2_env import Problem, ProblemSet, Run, TestCase, Tree
from mars2_env.credit import Credit, samples
from mars2_env.testing import ScriptedSandbox

LINES = 12
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['content'] + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>' }}{% endif %}"
)


def tokenizer() -> Any:
    """A tokenizer whose words are the lines `print(0)` to `print(11)`; all else is one word."""
    words = ["<|im_start|>", "<|im_end|>", "<unk>", *(f"print({number})\n" for number in range(LINES))]
    inner = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    inner.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"print\(\d+\)\n"), "isolated")
    inner.decoder = tokenizers.decoders.Fuse()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    made.chat_template = TEMPLATE
    return made


def model(seed: int = 0) -> Any:
    """A Llama of hidden size 16 with random weights."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=LINES + 3,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def student(
    seed: int = 0, *, lr: float = 1e-2, batch: int | None = None, lora: bool = False, **sampling: Any
) -> Student:
    """A policy and a learner that begin with equal weights, apart from each other."""
    sampling = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 3, "batch_size": 1, **sampling}
    policy = TransformersPolicy(model(seed), tokenizer(), **sampling)
    trained = model(seed)
    if lora:
        import peft

        trained = peft.get_peft_model(trained, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj", "o_proj"]))
    return Student(policy, Learner(trained, Optimising(lr=lr)), batch)


def problem(number: int) -> Problem:
    """A problem that asks for a sum."""
    wanted = str(number % 2)
    tests = {group: (TestCase(f"{group} {number}", wanted),) for group in ("public", "scoring", "hidden")}
    return Problem(f"sum/{number}", f"Problem {number}: print {wanted}.", reference=f"print({wanted})\n", **tests)


def problem_set(count: int = 6) -> ProblemSet:
    """A training set of such problems."""
    return ProblemSet("sums", tuple(map(problem, range(count))), split="train")


def outcome(program: str, input: str) -> Run:
    """What a program of the toy language prints: the sum of its numbers modulo 2."""
    return Run("ok", output=str(sum(map(int, re.findall(r"print\((\d+)\)", program))) % 2))


def task(count: int = 6, **options: Any) -> mars2_env.Task:
    """The toy as a task, in a sandbox that knows the toy language."""
    options = {"agents": ["coder", "fixer"], "budget": 4, "sandbox": ScriptedSandbox(outcome), **options}
    return mars2_env.task(problem_set(count), **options)


def weights(out: Path) -> dict[str, bytes]:
    """What a training's last checkpoint holds of weights and moments: file -> content."""
    last = sorted((out / "checkpoints").iterdir())[-1]
    return {str(file.relative_to(last)): file.read_bytes() for file in sorted(last.rglob("*.safetensors"))}


def gspo(scores: Scores) -> Any:
    """The loss of MARS2+ without its extras."""
    return losses.gspo(scores.logprob, scores.old, scores.advantage, scores.mask)


def algorithm(trees: Sequence[Tree], crew: Crew) -> Mapping[str, Lesson]:
    """Each policy learns what its agents wrote, compared with each agent's own."""
    found = samples(trees, policies=crew.policies, credit=Credit(scope="agent_in_tree")).samples
    names = dict.fromkeys(crew.policies.values())
    return {name: Lesson(tuple(one for one in found if one.policy == name), gspo) for name in names}


TEAM = {"coder_0": "a", "fixer_0": "b"}


def training(out: Path, *, students: Mapping[str, Student] | None = None, **options: Any) -> Training:
    """A training of two students on four of six problems, one in two steps on the others."""
    given = {"steps": 4, "problems": 2, "batch": 3, **options.pop("settings", {})}
    options = {"held_out": HeldOut(["sum/4", "sum/5"], every=2, nodes=4), **options}
    made = students or {"a": student(0), "b": student(1)}
    return train(
        options.pop("task", None) or task(),
        options.pop("team", TEAM),
        students=made,
        algorithm=options.pop("algorithm", algorithm),
        settings=Settings(**given),
        out=out,
        **options,
    )
