"""`mars2 train`, from a TOML file to weights: real programs in a real sandbox, killed, interrupted and gone on with."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("transformers", reason="needs the extra train")

import torch
from in_process import mars2
from mars2_agents.training.cli import train
from safetensors.torch import load_file
from tiny_students import model, problem, tokenizer

import mars2_env
from mars2_env.cli.main import COMMANDS
from mars2_env.credit import samples
from mars2_env.errors import SandboxUnavailableError
from mars2_env.tasks.policies import make_policy

FILE = """
problems = "toys.jsonl"

[task]
budget = 6
score = "fraction"
sandbox = "bubblewrap"

[agents]
coder = "tiny"
fixer = "tiny"

[policies.tiny]
model = "hf:./model"
train = "full"
sampling = { max_new_tokens = 1, batch_size = 1 }

[algorithm]
name = "homogeneous"
scope = "agent_in_tree"

[optimiser]
lr = 1e-2

[training]
steps = 2
problems = 2
batch = 5
threads = 1
out = "run"

[held_out]
ids = ["toy/4", "toy/5"]
nodes = 2
every = 2
"""

PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever began the tests may have it ignored
from mars2_agents.training.cli import train
from mars2_env.cli.main import COMMANDS, main
if "train" not in COMMANDS:
    COMMANDS.register("train", train)
main()
"""
"""`mars2`, where the package was not installed since it has the command."""


@pytest.fixture(scope="module", autouse=True)
def sandboxed() -> Iterator[None]:
    """A sandbox that runs programs, and torch's threads as they were."""
    try:
        mars2_env.make_sandbox("bubblewrap", workers=1).close()
    except SandboxUnavailableError as error:
        pytest.skip(f"needs bubblewrap (run `make bubblewrap`): {error}")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def placed(folder: Path) -> Path:
    """A folder with a tiny checkpoint, six problems that programs of one line solve in part, and a training's file."""
    model().save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    with (folder / "toys.jsonl").open("w") as file:
        for number in range(6):
            groups = {"public": [number % 4], "scoring": [0, 1, 2, 3], "hidden": [9]}
            tests = {
                group: [{"input": f"{group} {one}\n", "output": f"{one}\n"} for one in wanted]
                for group, wanted in groups.items()
            }
            file.write(json.dumps({"id": f"toy/{number}", "statement": f"Problem {number}.", **tests}) + "\n")
    (folder / "train.toml").write_text(FILE)
    return folder


def trained(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str, str]:
    """Run `mars2 train` in this process; return exit status, standard output and error."""
    if "train" not in COMMANDS:
        COMMANDS.register("train", train)
    return mars2(monkeypatch, capfd, "train", *arguments)


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`mars2 train` in a process of its own, whose standard error is read."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", "train.toml", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], what: str) -> list[str]:
    """Read lines of standard error until one has a text in it."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if what in line:
            return lines
    raise AssertionError("".join(lines))


def state(run: Path) -> dict[str, str]:
    """What a training came to: the last checkpoint's files, and the trees, each with its digest."""
    (*_, last) = sorted((run / "checkpoints").iterdir())
    kept = [*last.rglob("*.safetensors"), *last.rglob("samples.json"), *(run / "rollouts").rglob("*.jsonl")]
    return {str(file.relative_to(run)): sha256(file.read_bytes()).hexdigest() for file in kept}


def test_a_file_becomes_new_weights_curves_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = placed(tmp_path)
    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml", "--json")
    assert status == 0, told
    found = json.loads(printed)
    run = folder / "run"
    assert (found["out"], found["steps"], found["made"]) == (str(run), 2, 2)
    assert found["versions"]["tiny"] >= 2
    assert found["hard_coding"] == 0.0
    assert "policy tiny (coder_0, fixer_0):" in told and "temperature 1.0, top_p 1.0" in told
    assert "step 2/2" in told
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert found["values"] == {name: value for name, value in lines[-1].items() if name != "step"}
    place = Path(found["weights"]["tiny"])
    assert place.parent == run / "weights" / "tiny"
    assert (place / "model.safetensors").read_bytes() != (folder / "model" / "model.safetensors").read_bytes()
    trees = [tree for step in sorted((run / "rollouts").iterdir()) for tree in mars2_env.read_log(step)]
    assert len(trees) == 4 and {tree.problem for tree in trees} <= {f"toy/{number}" for number in range(4)}
    assert any(node.score > 0 for tree in trees for node in tree.nodes)
    assert len({version for sample in samples(trees).samples for version in sample.versions}) == 2

    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml")
    assert status == 0, told
    assert printed.startswith("all 2 steps are made")
    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml", "--set", "training.steps=3")
    assert status == 0, told
    assert "3 steps are in" in printed and f"hf:{run}/weights/tiny/" in printed and "mars2 export" in printed
    status, _, told = trained(monkeypatch, capfd, folder / "train.toml", "--set", "algorithm.gamma=0.25")
    assert status == 2
    assert "algorithm" in told


def test_what_was_trained_acts_by_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = placed(tmp_path)
    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml", "--set", "training.steps=1", "--json")
    assert status == 0, told
    place = Path(json.loads(printed)["weights"]["tiny"])
    shutil.rmtree(folder / "model")
    policy = make_policy(f"hf:{place},max_new_tokens=1,temperature=1.0,top_p=1.0")
    episode = mars2_env.Episode(problem(0).public_view(), ["coder_0"], "mars2", 1, seed=1)
    (reply,) = policy.act([episode.ask()])
    assert re.fullmatch(r"print\(\d+\)\n|", reply.text)
    assert policy.completion_ids("print(7)\n") == (3 + 7, 1)
    assert {file.suffix for file in place.iterdir()} <= {".json", ".safetensors", ".jinja"}


def test_a_partner_that_does_not_learn_is_named_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = placed(tmp_path)
    with (folder / "train.toml").open("a") as file:
        file.write('[policies.partner]\nmodel = "hf:./model"\ntrain = "none"\nsampling = { max_new_tokens = 1 }\n')
    changes = ("agents.fixer=partner", "algorithm.name=heterogeneous", "training.steps=1", "training.batch=2")
    how = [one for change in changes for one in ("--set", change)]
    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml", *how, "--json")
    assert status == 0, told
    found = json.loads(printed)
    assert f"policy partner (fixer_0): hf:{folder}/model, which acts and does not learn" in told
    assert found["versions"].keys() == found["weights"].keys() == {"tiny"} and found["versions"]["tiny"] > 0
    values = found["values"]
    assert values["policies/partner/given"] > 0 == values["policies/partner/used"]
    status, printed, told = trained(monkeypatch, capfd, folder / "train.toml", *how, "--dry-run", "--flops", "1e9")
    assert status == 0 and "partner: it does not learn, and what it takes is not reckoned" in printed, told


@pytest.mark.slow
def test_a_training_that_was_killed_and_one_that_was_interrupted_come_to_the_same(tmp_path: Path) -> None:
    whole, cut = placed(tmp_path / "whole"), placed(tmp_path / "cut")
    with started(whole) as straight:
        read_until(straight, "step 2/2")
        assert straight.wait(120) == 0
    with started(cut) as killed:
        read_until(killed, "step 0/2")
        killed.kill()
    with started(cut) as interrupted:
        read_until(interrupted, "step 1/2")
        interrupted.send_signal(signal.SIGINT)
        assert interrupted.stderr is not None
        rest = interrupted.stderr.read()
        assert interrupted.wait(60) == 130, rest
    assert f"interrupted; the same command goes on from here: {cut / 'run'} holds all that was done." in rest
    assert "Traceback" not in rest
    with started(cut) as last:
        read_until(last, "step 2/2")
        assert last.wait(120) == 0
    assert state(cut / "run") == state(whole / "run")


def over_two_processes(folder: Path, *arguments: str) -> str:
    """`mars2 train` as torchrun starts it, twice; return what both said."""
    (folder / "mars2.py").write_text(PROGRAM)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "mars2.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*run, "train", "train.toml", *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def far(one: Path, other: Path) -> float:
    """How far apart the trained weights of the last checkpoints of two runs are."""
    found, wanted = (
        load_file(max((run / "checkpoints").iterdir()) / "learners" / "tiny" / "weights.safetensors")
        for run in (one, other)
    )
    assert found.keys() == wanted.keys() and found
    return max(float((found[name] - wanted[name]).abs().max()) for name in wanted)


@pytest.mark.slow
@pytest.mark.parametrize("how", [(), ("--set", "policies.tiny.train=lora")], ids=["full", "lora"])
def test_a_training_over_two_processes_comes_to_the_weights_of_one(how: tuple[str, ...], tmp_path: Path) -> None:
    alone, two = placed(tmp_path / "alone"), placed(tmp_path / "two")
    with started(alone, *how) as process:
        read_until(process, "step 2/2")
        assert process.wait(120) == 0
    told = over_two_processes(two, *how, "--set", "training.steps=1")
    assert told.count("step 1/1:") == 1  # one of them leads, and one alone speaks
    over_two_processes(two, *how)
    assert far(alone / "run", two / "run") < 1e-5
    for file in sorted((alone / "run" / "rollouts").rglob("*.jsonl")):
        assert file.read_bytes() == (two / file.relative_to(alone)).read_bytes()
    weights = max((two / "run" / "weights" / "tiny").iterdir())
    assert int(weights.name) == int(max((alone / "run" / "weights" / "tiny").iterdir()).name) >= 2
    with started(two, *how, "--set", "training.steps=3") as process:  # one process goes on with what two began
        read_until(process, "step 3/3")
        assert process.wait(120) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train.toml", "--set", "training.step=3"), "unknown key 'step'. Did you mean 'steps'?"),
        (("train.toml", "--set", "task.sandbox=scripted"), "it runs nothing and invents verdicts"),
        (("train.toml", "--set", "task.score_on=public"), "this task scores on 'public' tests"),
        (("train.toml", "--set", "training.problems=5"), "there are 4 problems to train on"),
        (("train.toml", "--set", "algorithm.name=heterogeneous"), "this algorithm is for several policies"),
        (("train.toml", "--set", "algorithm.kl=['k3', 0.1]"), "keeps no reference"),
        (("train.toml", "--set", "policies.tiny.model=hf:./no"), "no such checkpoint folder"),
        (("none.toml",), "none.toml: No such file or directory"),
        (("smollm2",), "unknown configuration 'smollm2'. Did you mean 'smollm2-lora'?"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_before_anything_is_trained(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(placed(tmp_path))
    status, printed, told = trained(monkeypatch, capfd, *arguments)
    assert (status, printed) == (2, "")
    assert "Traceback" not in told
    (line,) = [line for line in told.splitlines() if line.startswith("mars2: ")]
    assert said in line
    assert not Path("run/rollouts").exists()


def test_a_dry_run_and_a_printed_configuration_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(placed(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    status, printed, told = trained(monkeypatch, capfd, "train.toml", "--dry-run", "--json", "--flops", "1e9")
    assert status == 0, told
    found = json.loads(printed)
    assert (found["trees"], found["nodes"]) == (2, 6)
    policy = found["policies"]["tiny"]
    assert policy["parameters"] == policy["trained"] == sum(one.numel() for one in model().parameters())
    assert (policy["replies"], policy["reply_tokens"]) == (12, 1)
    assert {part["name"] for part in policy["memory"]} >= {"trained weights", "optimiser", "KV cache"}
    assert found["peak_bytes"] > 16 * policy["parameters"]
    assert found["total_seconds"] > sum(found["seconds"].values())
    status, printed, told = trained(monkeypatch, capfd, "train.toml", "--dry-run")
    assert status == 0, told
    assert re.search(r"a step: about 12 replies of at most 1 tokens", printed)
    status, printed, told = trained(monkeypatch, capfd, "train.toml", "--dry-run", "--set", "algorithm.low=-1")
    assert status == 2 and "algorithm" in told and "low" in told
    status, printed, told = trained(monkeypatch, capfd, "train.toml", "--print-config", "--out", "other")
    assert status == 0, told
    assert f'out = "{tmp_path / "other"}"' in printed
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command_loads_nothing_heavy_before_it_is_used() -> None:
    code = "import sys, mars2_agents.training.cli; print(sys.modules.keys() & {'torch', 'transformers'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
