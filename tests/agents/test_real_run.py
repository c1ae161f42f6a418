"""A whole run with real models: vLLM's server plays one agent, transformers with an adapter the other.

One command plays 20 HumanEval and 20 starter problems, 8 nodes each. Its process is killed once, so that the same
command goes on from the logs, and then its server is killed once, which it starts again by itself.
`MARS2_REAL_PROBLEMS` (20, of each set) and `MARS2_REAL_TOKENS` (64, the most of a reply) make it shorter.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mars2_agents.policies.vllm_server import PYTHON

import mars2_env
from mars2_env.credit import samples
from mars2_env.episode.events import Asked, Cancelled, Ended, Failed, Told
from mars2_env.log import Tree
from mars2_env.log.trace import read_trace
from mars2_env.problems import ProblemSet, load_problems, write_jsonl

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY / ".vllm" / "bin" / "python"
EACH = int(os.environ.get("MARS2_REAL_PROBLEMS", "20"))
TOKENS = int(os.environ.get("MARS2_REAL_TOKENS", "64"))
NODES = 8

pytestmark = [pytest.mark.model, pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(7200)]


@pytest.fixture
def problems(shared: Path, tmp_path: Path) -> Path:
    """One file with problems of both sets, all of them for evaluation: then public tests guide the search."""
    humaneval = list(load_problems("humaneval", path=str(shared / "data" / "HumanEval.jsonl.gz")))[:EACH]
    starter = [replace(one, hidden=one.scoring + one.hidden, scoring=()) for one in load_problems("starter")][:EACH]
    file = tmp_path / "both.jsonl"
    write_jsonl(ProblemSet("both", (*humaneval, *starter), use="evaluation"), file)
    return file


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A random LoRA adapter over SmolLM2, small enough that the model still writes words."""
    torch = pytest.importorskip("torch", reason="needs the extra smollm2")
    peft = pytest.importorskip("peft", reason="needs the extra transformers")
    from mars2_agents.policies.engine import read_model
    from mars2_agents.policies.smollm2 import checkpoint

    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    net = peft.get_peft_model(read_model("smollm2", checkpoint(), dtype=torch.float32), config)
    with torch.no_grad():
        for name, values in net.named_parameters():
            if "lora_B" in name:
                values.mul_(0.05)
    folder = tmp_path / "adapter"
    net.save_pretrained(folder)
    return folder


class Client:
    """The command, as often as it is given."""

    def __init__(self, words: Sequence[str], out: Path, log: Path) -> None:
        self.words, self.out, self.log = words, out, log
        python = os.environ.get(PYTHON) or (str(BESIDE) if BESIDE.exists() else "")
        if not python:
            pytest.skip(f"no vLLM: run `make vllm`, or set {PYTHON}")
        self.environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), PYTHON: python}
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "mars2_env.cli", *self.words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
        self.started.append(process)
        return process

    def end(self) -> None:
        """Leave no process behind."""
        for process in self.started:
            process.kill()
            process.wait()

    def told(self) -> int:
        """How many turns its logs tell to be done."""
        trees = mars2_env.read_log(self.out) if (self.out / "trees").is_dir() else []
        return sum(isinstance(event, Told) for tree in trees for event in tree.events)


def run_until(client: subprocess.Popen[bytes], there: Callable[[], bool], log: Path) -> None:
    """Wait until something is so, as long as the client runs."""
    while not there():
        try:
            client.wait(2)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(f"it ended with status {client.returncode} too soon:\n{log.read_text(errors='replace')[-3000:]}")


def servers_below(pid: int) -> list[int]:
    """The processes below a process that are a vLLM server's front, each the parent of its engine."""
    parents, found = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[1:3] == [b"-m", b"vllm.entrypoints.openai.api_server"]:
            found.append(int(entry.name))
    return [one for one in found if pid in ancestors(one, parents)]


def ancestors(pid: int, parents: dict[int, int]) -> set[int]:
    """The processes above a process."""
    above: set[int] = set()
    while (pid := parents.get(pid, 0)) and pid not in above:
        above.add(pid)
    return above


def unsettled(tree: Tree) -> set[int]:
    """The turns of a tree that were handed out and never came back."""
    asked = {event.turn for event in tree.events if isinstance(event, Asked)}
    return asked - {event.turn for event in tree.events if isinstance(event, Told | Failed | Cancelled)}


@pytest.fixture
def client(problems: Path, adapter: Path, tmp_path: Path) -> Iterator[Client]:
    """The command, none of whose processes outlives the test."""
    out, short = tmp_path / "run", f"max_new_tokens={TOKENS}"
    words = [
        "search", str(problems), "--budget", str(NODES), "--trees", "8", "--out", str(out),
        "--agent", f"coder=vllm:smollm2,{short},kind=cpu,max_model_len=2048",
        "--agent", f"fixer=hf:smollm2,lora={adapter},{short},batch_size=4",
    ]  # fmt: skip
    made = Client(words, out, tmp_path / "client.log")
    yield made
    made.end()


def test_a_run_of_two_models_ends_complete_though_its_process_and_its_server_were_killed(
    client: Client, problems: Path
) -> None:
    out, log = client.out, client.log
    nodes = 2 * EACH * NODES

    first = client.start()
    run_until(first, lambda: client.told() >= nodes // 4, log)
    first.kill()
    first.wait()
    kept = {tree.problem: tree.events for tree in mars2_env.read_log(out)}
    assert 0 < client.told() < nodes

    second = client.start()
    run_until(second, lambda: client.told() >= nodes * 5 // 8, log)
    (server,) = servers_below(second.pid)
    os.kill(server, signal.SIGKILL)
    assert second.wait() == 0, log.read_text(errors="replace")[-3000:]
    assert "is gone; starts again" in log.read_text(errors="replace")

    trees = mars2_env.read_log(out)
    assert sorted(tree.problem for tree in trees) == sorted(problem.id for problem in load_problems(problems))
    for tree in trees:
        assert (tree.ended, len(tree.nodes)) == ("budget", NODES), tree
        assert tree.events[: len(kept.get(tree.problem, ()))] == kept.get(tree.problem, ())  # what was written stays
        turns = Counter(event.turn for event in tree.events if isinstance(event, Told))
        assert len(turns) == NODES and set(turns.values()) == {1}
        assert len({event.seed for event in tree.events if isinstance(event, Asked)}) == NODES + failures(tree)
        assert not unsettled(tree)
        assert sum(isinstance(event, Ended) for event in tree.events) == 1
        trace = read_trace(tree.path) if tree.path else {}
        assert all(trace[turn].generation for turn in turns)
    found = samples(trees)
    assert (len(found.samples), dict(found.left_out)) == (nodes, {})
    assert {one.agent for one in found.samples} == {"coder_0", "fixer_0"}
    assert all(len(one.logprobs) == len(one.completion_ids) <= TOKENS for one in found.samples)
    evaluated = subprocess.run(
        [sys.executable, "-m", "mars2_env.cli", "evaluate", str(out)], env=client.environment, capture_output=True
    )
    assert evaluated.returncode == 0, evaluated.stderr
    print(evaluated.stdout.decode(), Counter(one.agent for one in found.samples))


def failures(tree: Tree) -> int:
    """How many turns of a tree were void, and asked again."""
    return sum(isinstance(event, Failed) for event in tree.events)
