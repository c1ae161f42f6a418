"""A server process of ours: started, watched, restarted, and gone when we are. A small script stands in for vLLM."""

from __future__ import annotations

import os
import select
import signal
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httpx2", reason="needs the extra vllm")
pytest.importorskip("transformers", reason="needs the extra vllm")

from mars2_agents.policies.vllm import VLLMPolicy, shared_server
from mars2_agents.policies.vllm_server import (
    PYTHON,
    Address,
    ServerOptions,
    VLLMServer,
    address_of,
    command,
    environment,
    vllm_python,
)

from mars2_env.errors import ConfigError, PolicyUnavailableError
from mars2_env.types import Limits, PublicView, Stdin, Turn

FAKE = Path(__file__).with_name("fake_vllm.py")


@pytest.fixture
def python(tmp_path: Path) -> str:
    """What is run as the Python that has vLLM."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nshift 2\nexec "{sys.executable}" "{FAKE}" "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder that passes for a checkpoint."""
    (tmp_path / "checkpoint").mkdir()
    return str(tmp_path / "checkpoint")


def server_of(model: str, python: str, **options: Any) -> VLLMServer:
    said: list[str] = []
    options = {"backoff": (), "grace_seconds": 0.2, "say": said.append} | options
    return VLLMServer(ServerOptions(model, kind="cpu"), python=python, **options)


def turn(seed: int = 1) -> Turn:
    view = PublicView("p", "s", Stdin(), (), "", Limits())
    return Turn(0, "coder_0", view, seed, ({"role": "user", "content": "add"},), 0, (0,))


def ended(pid: int) -> bool:
    """Whether a process ends within a minute, or has."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poller = select.poll()
    poller.register(watched, select.POLLIN)
    try:
        return bool(poller.poll(60_000))
    finally:
        os.close(watched)


def test_a_server_listens_where_only_its_user_gets_and_leaves_nothing(model: str, python: str) -> None:
    with server_of(model, python) as server:
        path = Path(str(server.address.socket))
        assert server.alive
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077
        assert str(server.address) == f"unix:{path}"
    assert not server.alive
    assert not path.parent.exists()


def test_a_server_listens_on_a_port_where_that_is_asked_for(model: str, python: str, tokenizer: Any) -> None:
    with VLLMServer(ServerOptions(model, kind="cpu", port=0), python=python, say=lambda line: None) as server:
        assert server.address.url.startswith("http://127.0.0.1:")
        policy = VLLMPolicy(server, tokenizer=tokenizer, max_new_tokens=8)
        assert policy.act([turn()])[0].text
        policy.close()


def test_closing_ends_processes_that_left_the_group_and_take_no_notice(
    model: str, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOTE", str(tmp_path / "note"))
    with server_of(model, python):
        main, child, control = (tmp_path / "note").read_text().split()
        assert control == "1"
    assert ended(int(main))
    assert ended(int(child))


def test_nothing_is_left_of_a_server_whose_owner_was_killed(model: str, python: str, tmp_path: Path) -> None:
    source = (
        "import sys\n"
        "from mars2_agents import ServerOptions, VLLMServer\n"
        f"server = VLLMServer(ServerOptions({model!r}, kind='cpu'), python={python!r}, grace_seconds=0.2)\n"
        "print(server.start().address.socket, flush=True)\n"
        "sys.stdin.read()\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": ":".join(sys.path), "FAKE_NOTE": str(tmp_path / "note")},
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        socket = owner.stdout.readline().strip()
        main, child, _ = map(int, (tmp_path / "note").read_text().split())
        keeper = int(Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()[1])
        owner.send_signal(signal.SIGKILL)
    assert all(map(ended, (main, child, keeper)))
    assert not Path(socket).parent.exists()


def test_a_server_that_was_killed_is_started_again_and_the_reply_arrives(
    model: str, python: str, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOTE", str(tmp_path / "note"))
    with server_of(model, python) as server:
        policy = VLLMPolicy(server, tokenizer=tokenizer, max_new_tokens=8)
        (before,) = policy.act([turn(3)])
        main, child, _ = (tmp_path / "note").read_text().split()
        os.kill(int(main), signal.SIGKILL)
        assert ended(int(child))  # what holds the memory goes too
        (after,) = policy.act([turn(3)])
        assert after.text == before.text
        assert server.starts == 2
        policy.close()


def test_a_server_that_is_started_again_gets_its_weights_and_adapters_back(
    model: str, python: str, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOTE", str(tmp_path / "note"))
    with server_of(model, python) as server:
        base = VLLMPolicy(server, tokenizer=tokenizer, max_new_tokens=8)
        adapted = VLLMPolicy(base.engine, lora="/lora/a", max_new_tokens=8)
        base.update_weights("/weights/4", 4)
        before = [policy.act([turn(3)])[0].text for policy in (base, adapted)]
        os.kill(int((tmp_path / "note").read_text().split()[0]), signal.SIGKILL)
        replies = [policy.act([turn(3)])[0] for policy in (base, adapted)]
        assert [reply.text for reply in replies] == before
        assert replies[0].generation is not None
        assert replies[0].generation.weights_version == 4
        base.close()


def test_a_server_is_not_started_again_for_ever(
    model: str, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOTE", str(tmp_path / "note"))
    with server_of(model, python, restarts=1) as server:
        for _ in range(2):
            pid = int((tmp_path / "note").read_text().splitlines()[-1].split()[0])
            os.kill(pid, signal.SIGKILL)
            assert ended(server._keeper.pid if server._keeper else 0)
            if server.starts == 1:
                server.ensure()
        with pytest.raises(PolicyUnavailableError, match="died 2 times"):
            server.ensure()


def test_a_server_that_does_not_come_up_says_the_end_of_its_output(
    model: str, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DIES", "1")
    server = server_of(model, python)
    with pytest.raises(PolicyUnavailableError, match=r"ended with status 3:\nout of memory, say"):
        server.start()


def test_policies_of_one_checkpoint_share_a_server_until_the_last_is_closed(
    model: str, python: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ServerOptions(model, kind="cpu")
    one, two = (shared_server(options, python) for _ in range(2))
    assert one is two
    one.close()
    assert one.server.alive
    two.close()
    assert not one.server.alive
    assert "is up after" in capsys.readouterr().err


def test_the_command_of_a_cpu_server(model: str) -> None:
    words = command(ServerOptions("m", kind="cpu", max_loras=2), "py", model, Address("http://vllm", "/s"))
    assert words[:5] == ["py", "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    said = dict(pairwise(words))
    assert (said["--dtype"], said["--uds"], said["--max-loras"]) == ("float32", "/s", "2")
    assert (said["--logprobs-mode"], said["--scheduling-policy"]) == ("processed_logprobs", "priority")
    assert {"--enforce-eager", "--no-enable-chunked-prefill", "--enable-scale-out", "--enable-lora"} < set(words)
    assert "--host" not in words


def test_the_command_and_environment_of_a_server_on_two_gpus() -> None:
    options = ServerOptions("org/m", kind="gpu", tensor_parallel=2, gpus=(2, 3), gpu_memory=0.5, port=8001)
    words = command(options, "py", "org/m", Address("http://127.0.0.1:8001"))
    said = dict(pairwise(words))
    assert (said["--tensor-parallel-size"], said["--gpu-memory-utilization"], said["--port"]) == ("2", "0.5", "8001")
    assert "--enforce-eager" not in words
    found = environment(options, "org/m", "/folder", {"PYTHONPATH": "/ours", "HOME": "/me"})
    assert found["CUDA_VISIBLE_DEVICES"] == "2,3"
    assert found["HOME"] == "/me"
    assert {"PYTHONPATH", "HF_HUB_OFFLINE", "VLLM_CPU_KVCACHE_SPACE"}.isdisjoint(found)


def test_control_routes_are_there_for_this_machine_alone(model: str) -> None:
    with pytest.raises(ConfigError, match="could change the weights"):
        ServerOptions(model, port=8000, host="0.0.0.0")
    quiet = ServerOptions(model, port=8000, host="0.0.0.0", control=False)
    assert "VLLM_SERVER_DEV_MODE" not in environment(quiet, model, "/folder", {})
    assert environment(ServerOptions(model), model, "/folder", {})["VLLM_SERVER_DEV_MODE"] == "1"


def test_the_python_that_has_vllm_is_looked_for_in_order(python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON, sys.executable)
    assert vllm_python(python) == python
    assert vllm_python() == sys.executable
    monkeypatch.setenv(PYTHON, "/no/python")
    with pytest.raises(ConfigError, match=f"{PYTHON}='/no/python'"):
        vllm_python()
    monkeypatch.delenv(PYTHON)
    monkeypatch.setattr("mars2_agents.policies.vllm_server.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="make vllm"):
        vllm_python()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://h:1/v1", Address("http://h:1")),
        ("https://h/v1/", Address("https://h")),
        ("unix:/run/v.sock", Address("http://vllm", "/run/v.sock")),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert address_of(text) == address


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": ""}, "model"),
        ({"model": "m", "kind": "tpu"}, "cpu or gpu"),
        ({"model": "m", "max_num_seqs": 0}, "max_num_seqs"),
        ({"model": "m", "gpu_memory": 2.0}, "gpu_memory"),
        ({"model": "m", "gpus": (0,), "tensor_parallel": 2}, "that many GPUs"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ServerOptions(**options)
