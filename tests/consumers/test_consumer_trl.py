"""TRL's own GRPOTrainer with our rewards and our environment, on a tiny model made here (scripts/consumers.sh trl)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mars2_agents.adapters import JudgeReward, TreeSession, prompt_rows

import mars2_env
from mars2_env import Problem, ProblemSet, Run, TestCase
from mars2_env.testing import ScriptedSandbox

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.filterwarnings("ignore"),  # those of torch, transformers and TRL, which others answer for
]
CALL = '<tool_call>\n{"name": "submit", "arguments": {"program": "print(1)"}}\n</tool_call>'


def problems() -> ProblemSet:
    case = TestCase("", "1")
    return ProblemSet("toy", (Problem("toy/0", "Print 1.", public=(case,), scoring=(case,), hidden=(case,)),), "train")


def sandbox() -> ScriptedSandbox:
    return ScriptedSandbox(lambda program, given: Run("ok", output=program.strip()[6:-1]))


def tokenizer() -> Any:
    """A tokenizer of bytes and of the marks of Qwen's chat template, with that template as TRL ships it."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(marks[:3])
    made.add_tokens(marks[3:])
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    folder = Path(trl.__file__).parent / "chat_templates"
    wrapped.chat_template = (folder / "qwen2_5.jinja").read_text(encoding="utf-8")
    return wrapped


def model(size: int) -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )
    return Qwen2ForCausalLM(config)


def learn_by_heart(net: Any, ids: list[int], prompt: int) -> None:
    """Train the model until it completes one prompt in one way."""
    import torch

    torch.set_num_threads(1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    tokens = torch.tensor([ids])
    labels = tokens.clone()
    labels[:, :prompt] = -100
    for _ in range(400):
        loss = net(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.02:
            return
    raise AssertionError(f"the tiny model did not learn its one sentence: loss {loss.item():.3f}")


def trainer(net: Any, words: Any, folder: Path, length: int, **options: Any) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    config = GRPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=2,
        num_generations=2,
        max_completion_length=length,
        max_steps=1,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        temperature=0.01,
        learning_rate=1e-9,
    )
    rows = Dataset.from_list(prompt_rows(problems()))
    return GRPOTrainer(model=net, args=config, train_dataset=rows, processing_class=words, **options)


def test_the_reward_function_scores_what_the_trainer_samples(tmp_path: Path) -> None:
    words = tokenizer()
    net = model(len(words))
    row = prompt_rows(problems())[0]
    prompt = words.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=True, return_dict=False)
    reply = words("```python\nprint(1)\n```<|im_end|>", add_special_tokens=False)["input_ids"]
    learn_by_heart(net, prompt + reply, len(prompt))
    judge = JudgeReward(problems(), sandbox())
    made = trainer(net, words, tmp_path, 40, reward_funcs=judge.trl_reward)
    made.train()
    logged = [entry for entry in made.state.log_history if "reward" in entry]
    assert [entry["rewards/trl_reward/mean"] for entry in logged] == [1.0]


def test_the_session_is_an_environment_whose_tool_the_model_calls(tmp_path: Path) -> None:
    from transformers.utils import get_json_schema

    words = tokenizer()
    net = model(len(words))
    box = sandbox()
    task = mars2_env.task(problems(), agents=1, budget=2, sandbox=box, stop_on_solved=True)
    made: list[TreeSession] = []

    def factory() -> TreeSession:
        made.append(TreeSession(task))
        return made[-1]

    asked = factory().reset(problem="toy/0")
    chat = [dict(message) for message in prompt_rows(problems())[0]["prompt"]]
    chat[-1]["content"] += asked
    tools = [get_json_schema(made[0].submit)]
    options = {"tools": tools, "add_generation_prompt": True, "tokenize": True, "return_dict": False}
    prompt = words.apply_chat_template(chat, **options)
    reply = words(CALL + "<|im_end|>", add_special_tokens=False)["input_ids"]
    learn_by_heart(net, prompt + reply, len(prompt))
    run = trainer(net, words, tmp_path, 120, environment_factory=factory)
    run.train()
    logged = [entry for entry in run.state.log_history if "reward" in entry]
    assert [entry["rewards/TreeSession/mean"] for entry in logged] == [1.0]
    assert any("print(1)" in program for program, _ in box.calls)
