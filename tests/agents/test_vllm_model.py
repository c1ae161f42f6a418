"""`VLLMPolicy` with vLLM itself and SmolLM2, on a CPU: `make vllm`, then `MARS2_VLLM_PYTHON=.vllm/bin/python`.

One server serves all tests of the file; the last ones kill it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mars2_agents import ServerOptions, VLLMPolicy, VLLMServer
from mars2_agents.policies.smollm2 import checkpoint
from mars2_agents.policies.vllm_server import PYTHON

from mars2_env.types import Limits, PublicView, Reply, Stdin, Turn

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY / ".vllm" / "bin" / "python"

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def python() -> str:
    """The Python that has vLLM."""
    found = os.environ.get(PYTHON) or (str(BESIDE) if BESIDE.exists() else "")
    if not found:
        pytest.skip(f"no vLLM: run `make vllm`, or set {PYTHON}")
    for package in ("httpx2", "transformers"):
        pytest.importorskip(package, reason="needs the extra vllm")
    return found


@pytest.fixture(scope="module")
def place() -> Path:
    pytest.importorskip("torch", reason="needs the extra smollm2")
    return checkpoint()


@pytest.fixture(scope="module")
def server(python: str, place: Path) -> Iterator[VLLMServer]:
    options = ServerOptions(str(place), kind="cpu", max_model_len=1024, max_num_seqs=4, max_loras=2)
    with VLLMServer(options, python=python, backoff=()) as running:
        yield running


@pytest.fixture(scope="module")
def policy(server: VLLMServer) -> Iterator[VLLMPolicy]:
    made = VLLMPolicy(server, max_new_tokens=16)
    yield made
    made.close()


@pytest.fixture(scope="module")
def other_weights(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with its last norm turned round."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("weights")
    shutil.copytree(place, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    tensors = load_file(place / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"].flip(0).contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def adapter(folder: Path, place: Path, seed: int) -> str:
    """A LoRA adapter of rank 4 that changes what the model says."""
    import torch
    from safetensors.torch import save_file

    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    hidden, random = config["hidden_size"], torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(4, hidden, generator=random) * 0.3
        tensors[f"{name}.lora_B.weight"] = torch.randn(hidden, 4, generator=random) * 0.3
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    told = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(told | {"bias": "none"}), encoding="utf-8")
    return str(folder)


def turn(seed: int = 1, text: str = "Write a Python function that adds two numbers.") -> Turn:
    view = PublicView("p", text, Stdin(), (), "", Limits())
    return Turn(0, "coder_0", view, seed, ({"role": "user", "content": text},), 0, (0,))


def ids(reply: Reply) -> tuple[int, ...]:
    assert reply.generation is not None
    return reply.generation.completion_ids


def requests_running(server: VLLMServer) -> float:
    import httpx2

    with httpx2.Client(transport=httpx2.HTTPTransport(uds=server.address.socket), base_url="http://vllm") as client:
        found = re.search(r"^vllm:num_requests_running\{.*\} (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def until_running(server: VLLMServer, wanted: float) -> bool:
    """Whether the server's count of running requests becomes what is wanted, however often it has to be asked."""
    return any(requests_running(server) == wanted for _ in range(5000))


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def ended(pid: int) -> bool:
    """Whether a process ends within two minutes, or has."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(watched, select.POLLIN)
    try:
        return bool(poller.poll(120_000))
    finally:
        os.close(watched)


def test_the_same_seed_gives_the_same_tokens_alone_and_among_others(policy: VLLMPolicy) -> None:
    (alone,) = policy.act([turn(5)])
    among = policy.act([turn(5), turn(6), turn(7), turn(5)])
    assert ids(alone) == ids(among[0]) == ids(among[3])
    assert len({ids(reply) for reply in among}) > 1
    made = alone.generation
    assert made is not None
    assert made.logprobs_kind == "sampled"
    assert len(made.logprobs) == len(made.completion_ids) > 0
    assert policy.engine.tells_spans


def test_more_prompts_at_a_time_than_a_step_takes_are_answered_as_each_alone(policy: VLLMPolicy) -> None:
    turns = [turn(seed, "Write a Python function that adds two numbers. " * (85 + seed)) for seed in range(4)]
    short = VLLMPolicy(policy.engine, max_new_tokens=4)
    among = short.act(turns)
    told = [reply.generation for reply in among if reply.generation]
    assert sum(len(made.prompt_ids) for made in told) > 2048
    assert [ids(short.act([one])[0]) for one in turns[:2]] == [ids(reply) for reply in among[:2]]


def test_a_cancelled_turn_runs_no_more_in_the_server(policy: VLLMPolicy, server: VLLMServer) -> None:
    long = VLLMPolicy(policy.engine, temperature=2.0, top_p=1.0, max_new_tokens=900)

    async def cancel() -> None:
        task = asyncio.create_task(long.generate(turn(3), priority=0))
        assert await asyncio.to_thread(until_running, server, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert until_running(server, 0)


def test_new_weights_answer_under_their_version_and_old_ones_again(
    policy: VLLMPolicy, place: Path, other_weights: Path
) -> None:
    (before,) = policy.act([turn(5)])
    policy.update_weights(str(other_weights), 1)
    (other,) = policy.act([turn(5)])
    policy.update_weights(str(place), 2)
    (again,) = policy.act([turn(5)])
    versions = [reply.generation.weights_version for reply in (before, other, again) if reply.generation]
    assert versions == [0, 1, 2]
    assert ids(before) == ids(again) != ids(other)


def test_a_reply_under_way_goes_on_with_the_new_weights_and_says_where(
    policy: VLLMPolicy, server: VLLMServer, place: Path
) -> None:
    long = VLLMPolicy(policy.engine, temperature=2.0, top_p=1.0, max_new_tokens=48)
    before = policy.weights_version

    async def meanwhile() -> Reply:
        task = asyncio.create_task(long.generate(turn(4), priority=0))
        assert await asyncio.to_thread(until_running, server, 1)
        await policy.aupdate_weights(str(place), 3)
        return await task

    made = asyncio.run(meanwhile()).generation
    assert made is not None
    assert [version for version, _ in made.weights_spans] == [before, 3]


def test_two_adapters_and_the_base_model_answer_in_one_server(policy: VLLMPolicy, place: Path, tmp_path: Path) -> None:
    paths = [adapter(tmp_path / name, place, seed) for seed, name in enumerate(("one", "two"))]
    one, two = (VLLMPolicy(policy.engine, lora=path, max_new_tokens=16) for path in paths)

    async def ask() -> list[Reply]:
        return list(await asyncio.gather(*(each.generate(turn(5), priority=0) for each in (policy, one, two))))

    (before,) = policy.act([turn(5)])
    replies = asyncio.run(ask())
    assert len({ids(reply) for reply in replies}) == 3
    (after,) = policy.act([turn(5)])
    assert ids(before) == ids(replies[0]) == ids(after)
    one.update_weights(paths[1], 1)
    (now,) = one.act([turn(5)])
    assert now.generation is not None
    assert now.generation.weights_version == 1
    assert ids(now) == ids(replies[2])


def test_a_server_killed_as_it_writes_is_started_again_and_the_reply_arrives(
    policy: VLLMPolicy, server: VLLMServer
) -> None:
    long = VLLMPolicy(policy.engine, temperature=1.0, top_p=1.0, max_new_tokens=32)
    (wanted,) = long.act([turn(8)])
    version = policy.weights_version
    assert server._keeper is not None
    (main,) = children_of(server._keeper.pid)

    async def meanwhile() -> Reply:
        task = asyncio.create_task(long.generate(turn(8), priority=0))
        assert await asyncio.to_thread(until_running, server, 1)
        os.kill(main, signal.SIGKILL)
        return await task

    reply = asyncio.run(meanwhile())
    assert server.starts == 2
    assert ids(reply) == ids(wanted)
    assert reply.generation is not None
    assert reply.generation.weights_version == version


def test_no_process_of_a_server_is_left_when_its_owner_is_killed(
    python: str, place: Path, server: VLLMServer, policy: VLLMPolicy
) -> None:
    policy.close()
    server.close()  # two at a time are too much for a small machine
    source = (
        "import sys\n"
        "from mars2_agents import ServerOptions, VLLMServer\n"
        f"options = ServerOptions({str(place)!r}, kind='cpu', max_model_len=1024, max_num_seqs=2)\n"
        f"server = VLLMServer(options, python={python!r}).start()\n"
        "print(server._keeper.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        keeper = int(owner.stdout.readline())
        (main,) = children_of(keeper)
        engines = children_of(main)
        assert engines
        owner.send_signal(signal.SIGKILL)
    assert all(map(ended, (keeper, main, *engines)))


INSIDE = """
import sys
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_agents.policies.vllm_inside import InsideEngine
from mars2_agents.policies.vllm_server import ServerOptions
from mars2_env.types import Limits, PublicView, Stdin, Turn

if __name__ == "__main__":
    place, adapter = sys.argv[1:]
    options = ServerOptions(place, kind="cpu", max_model_len=1024, max_num_seqs=2, max_loras=2)
    policy = VLLMPolicy(InsideEngine(options), max_new_tokens=12)
    adapted = VLLMPolicy(policy.engine, lora=adapter, max_new_tokens=12)
    text = "Write a Python function that adds two numbers."
    view = PublicView("p", text, Stdin(), (), "", Limits())
    turn = Turn(0, "coder_0", view, 5, ({"role": "user", "content": text},), 0, (0,))
    first = policy.act([turn, turn])
    other = adapted.act([turn])
    policy.update_weights(place, 1)
    second = policy.act([turn])
    policy.engine.close()
    for reply in (*first, *second, *other):
        print("REPLY", *reply.generation.completion_ids, reply.generation.weights_version)
"""


def test_an_engine_inside_a_process_answers_as_a_server_does(
    python: str, place: Path, server: VLLMServer, policy: VLLMPolicy, tmp_path: Path
) -> None:
    lora = adapter(tmp_path / "adapter", place, seed=0)
    served = [VLLMPolicy(policy.engine, max_new_tokens=12), VLLMPolicy(policy.engine, lora=lora, max_new_tokens=12)]
    by_server = [list(map(str, ids(one.act([turn(5)])[0]))) for one in served]
    policy.close()
    server.close()
    environment = os.environ | {"PYTHONPATH": ":".join(str(REPOSITORY / part) for part in ("", "agents"))}
    asked = subprocess.run([python, "-c", "import mars2_env"], env=environment, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip(f"{python} has not what mars2_env needs; `make vllm` installs it")
    (tmp_path / "inside.py").write_text(INSIDE, encoding="utf-8")
    done = subprocess.run(
        [python, str(tmp_path / "inside.py"), str(place), str(lora)], env=environment, capture_output=True, text=True
    )
    rows = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("REPLY")]
    assert len(rows) == 4, done.stdout + done.stderr
    assert rows[0] == rows[1] == [*by_server[0], "0"]
    assert rows[2] == [*by_server[0], "1"]
    assert rows[3][:-1] == by_server[1] != by_server[0]
