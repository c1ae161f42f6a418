"""New weights of SmolLM2, full and as an adapter, to vLLM: `make vllm`, then `MARS2_VLLM_PYTHON=.vllm/bin/python`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mars2_agents import ServerOptions, VLLMPolicy, VLLMServer
from mars2_agents.policies.smollm2 import checkpoint
from mars2_agents.policies.vllm_server import PYTHON

from mars2_env.types import Generation, Limits, PublicView, Reply, Stdin, Turn

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY / ".vllm" / "bin" / "python"
TEMPERATURE = 0.8
AGREEMENT = 2e-4
"""Nats: both compute in float32, each with kernels of its own. Measured: at most 4.4e-5."""

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

VIEW = PublicView("p", "Add.", Stdin(), (), "", Limits())
ASKED = ({"role": "user", "content": "Write a Python function that adds two numbers."},)
TURNS = [Turn(0, "coder_0", VIEW, seed, ASKED, 0, (0,)) for seed in range(4)]


@pytest.fixture(scope="module")
def place() -> Path:
    pytest.importorskip("torch", reason="needs the extra smollm2")
    return checkpoint()


@pytest.fixture(scope="module")
def policy(place: Path) -> Iterator[VLLMPolicy]:
    python = os.environ.get(PYTHON) or (str(BESIDE) if BESIDE.exists() else "")
    if not python:
        pytest.skip(f"no vLLM: run `make vllm`, or set {PYTHON}")
    pytest.importorskip("httpx2", reason="needs the extra vllm")
    options = ServerOptions(str(place), kind="cpu", max_model_len=512, max_num_seqs=4, max_loras=2)
    with VLLMServer(options, python=python) as server:
        made = VLLMPolicy(server, temperature=TEMPERATURE, top_p=1.0, max_new_tokens=24)
        yield made
        made.close()


def model(place: Path) -> Any:
    import torch
    from mars2_agents.policies.engine import read_model

    return read_model("smollm2", place, dtype=torch.float32)


def written(policy: VLLMPolicy) -> list[Generation]:
    replies: list[Reply] = policy.act(TURNS)
    return [reply.generation for reply in replies if reply.generation is not None]


def apart(learner: Any, generations: list[Generation]) -> float:
    """The largest difference between what the server told of a token and what the learner makes of it."""
    import torch

    scores = learner.score(generations, temperature=TEMPERATURE)
    told = [torch.tensor(one.logprobs) for one in generations]
    return max(float((a - b).abs().max()) for a, b in zip(scores, told, strict=True))


def check_syncs(learner: Any, policy: VLLMPolicy, folder: Path, updates: list[int]) -> None:
    """Learn what the policy writes, deliver, and see that it then acts with the learner's weights."""
    import torch
    from mars2_agents.training.weights import deliver

    before = written(policy)
    for update in updates:
        learner.backward(before, [torch.full((len(one.completion_ids),), -0.1) for one in before])
        learner.step()
        assert apart(learner, before) > 10 * AGREEMENT  # the update is heard, or nothing is shown below
        deliver(policy, replace(learner.export(folder / str(update)), version=update))
        before = written(policy)
        assert {one.weights_version for one in before} == {update}
        found = apart(learner, before)
        print(f"version {update}: the server's log-probs are at most {found:.1e} from the learner's")
        assert found < AGREEMENT


def test_an_adapter_that_is_trained_is_what_the_server_samples_with_after_each_sync(
    policy: VLLMPolicy, place: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    import torch
    from mars2_agents.learners.learner import Learner, Optimising

    torch.manual_seed(0)
    net = peft.get_peft_model(model(place), peft.LoraConfig(r=8, target_modules="all-linear"))
    student = VLLMPolicy(policy.engine, policy.settings)
    check_syncs(Learner(net, Optimising(lr=1e-3)), student, tmp_path, [1, 2])
    assert {one.weights_version for one in written(policy)} == {0}  # the base model is as it was


def test_full_weights_that_are_trained_are_what_the_server_samples_with_after_each_sync(
    policy: VLLMPolicy, place: Path, tmp_path: Path
) -> None:
    from mars2_agents.learners.learner import Learner, Optimising

    check_syncs(Learner(model(place), Optimising(lr=1e-5)), policy, tmp_path, [1, 2])
