"""vLLM's own weight transfer, against a small server of our own; what goes over NCCL needs a GPU and is not here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("httpx2", reason="needs the extra vllm")
pytest.importorskip("transformers", reason="needs the extra vllm")

from fake_vllm import GENERATE, FakeVLLM, running  # noqa: E402
from mars2_agents.learners.learner import WeightsRef  # noqa: E402
from mars2_agents.policies.vllm import VLLMPolicy  # noqa: E402
from mars2_agents.policies.vllm_http import HTTPEngine  # noqa: E402
from mars2_agents.policies.vllm_server import PYTHON  # noqa: E402
from mars2_agents.policies.vllm_transfer import Checkpoint, Control, Meeting, NCCLTransfer  # noqa: E402
from mars2_agents.training.weights import deliver  # noqa: E402

from mars2_env.errors import ExtraError, PolicyError, PolicyUnavailableError  # noqa: E402
from mars2_env.types import Limits, PublicView, Stdin, Turn  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE = REPOSITORY / ".vllm" / "bin" / "python"
VIEW = PublicView("p", "add", Stdin(), (), "", Limits())
TURN = Turn(0, "coder_0", VIEW, 1, ({"role": "user", "content": "add"},), 0, (0,))
ROUND = ["/start_weight_update", "/update_weights", "/finish_weight_update"]
INIT, LEAVE = "/init_weight_transfer_engine", "/shutdown_weight_transfer_engine"


class Trainer:
    """Asks a server as vLLM's trainer does, and notes the tensors that it would send."""

    def __init__(self, meeting: Meeting, control: Control, source: Checkpoint) -> None:
        self.meeting, self.control, self.source = meeting, control, source
        self.sent: list[dict[str, Any]] = []
        self.left = False
        control.init_weight_transfer_engine({"world_size": meeting.world_size})

    def send_weights(self) -> None:
        self.control.start_weight_update()
        self.control.update_weights({"names": [one.name for one in self.source.metadata()]})
        self.sent.append(dict(self.source))
        self.control.finish_weight_update()

    def shutdown(self) -> None:
        self.left = True


class Setting:
    """A policy over a fake server, whose weights come by a transfer, and the trainers that were opened for it."""

    def __init__(self, fake: FakeVLLM, tokenizer: Any) -> None:
        self.fake = fake
        self.trainers: list[Trainer] = []
        self.engine = HTTPEngine(
            fake.url, tokenizer=tokenizer, transfer=NCCLTransfer(device="cpu", opens=self.opens), pauses=()
        )
        self.policy = VLLMPolicy(self.engine, max_new_tokens=8)

    def opens(self, meeting: Meeting, control: Control, source: Checkpoint) -> Trainer:
        self.trainers.append(Trainer(meeting, control, source))
        return self.trainers[-1]

    def since(self, route: str) -> list[str]:
        """The routes from the last of a kind on."""
        places = [place for place, one in enumerate(self.fake.routes) if one == route]
        return self.fake.routes[places[-1] :]


@pytest.fixture
def setting(tokenizer: Any) -> Iterator[Setting]:
    with running(FakeVLLM()) as fake:
        made = Setting(fake, tokenizer)
        yield made
        made.engine.close()


@pytest.fixture(scope="module")
def checkpoint(model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("checkpoint")
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return str(folder)


def test_tensors_are_sent_while_the_server_stands_still_and_are_then_named(setting: Setting, checkpoint: str) -> None:
    policy = setting.policy
    policy.act([TURN])
    deliver(policy, WeightsRef(checkpoint, 1))
    label = ["/update_weight_version", "/resume"]
    assert setting.since("/pause") == ["/pause", "/get_world_size", INIT, *ROUND, *label]
    (reply,) = policy.act([TURN])
    assert reply.generation is not None
    assert reply.generation.weights_version == 1
    deliver(policy, WeightsRef(checkpoint, 2))
    assert setting.since("/pause") == ["/pause", "/get_world_size", *ROUND, *label]  # they have met already
    policy.act([TURN])
    assert setting.fake.routes[-1] == GENERATE
    assert len({body["cache_salt"] for body in setting.fake.generations}) == 3
    (trainer,) = setting.trainers
    assert trainer.meeting.world_size == 3  # the server's two workers, and this process


def test_what_is_sent_are_the_tensors_of_the_checkpoint_as_they_were_foretold(
    setting: Setting, checkpoint: str, model: Any
) -> None:
    deliver(setting.policy, WeightsRef(checkpoint, 1))
    (trainer,) = setting.trainers
    wanted = {name: values for name, values in model.state_dict().items() if name in trainer.sent[0]}
    assert len(wanted) == len(trainer.sent[0]) == len(list(model.named_parameters()))
    for name, values in trainer.sent[0].items():
        assert torch.equal(values, wanted[name]), name
    foretold = {one.name: (one.dtype, one.shape) for one in trainer.source.metadata()}
    assert foretold == {name: (values.dtype, tuple(values.shape)) for name, values in trainer.sent[0].items()}
    assert list(foretold) == list(trainer.sent[0])


def test_after_a_transfer_that_failed_all_meet_anew_and_old_weights_are_sent_again(
    setting: Setting, checkpoint: str
) -> None:
    deliver(setting.policy, WeightsRef(checkpoint, 1))
    setting.fake.bad_routes.add("/update_weights")
    with pytest.raises(PolicyError, match="no weight transfer"):
        deliver(setting.policy, WeightsRef(f"{checkpoint}/.", 2))
    tried = ["/get_world_size", *ROUND[:2], LEAVE]
    restored = ["/get_world_size", INIT, *ROUND[:2], LEAVE]
    assert setting.since("/pause") == ["/pause", *tried, *restored, "/resume"]
    with pytest.raises(PolicyUnavailableError, match="has no whole weights any more"):
        setting.policy.act([TURN])
    setting.fake.bad_routes.clear()
    deliver(setting.policy, WeightsRef(checkpoint, 2))
    assert INIT in setting.since("/pause")
    assert [one.left for one in setting.trainers] == [True, True, False]
    (reply,) = setting.policy.act([TURN])
    assert reply.generation is not None
    assert reply.generation.weights_version == 2


def test_a_folder_without_a_checkpoint_disturbs_nobody(setting: Setting, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="holds no checkpoint in safetensors"):
        deliver(setting.policy, WeightsRef(str(tmp_path), 1))
    assert not setting.trainers
    assert setting.policy.act([TURN])[0].text


SENT = """
import sys
from contextlib import nullcontext
import torch
from vllm.distributed.weight_transfer import nccl_engine
from mars2_agents.policies.vllm_transfer import Checkpoint, Control, Meeting, nccl_sender

class Group:
    def broadcast(self, tensor, src, stream):
        print("TENSOR", tuple(tensor.shape), str(tensor.dtype))

asked = []
nccl_engine.open_trainer_endpoint = lambda told: Group()
torch.cuda.current_stream = lambda *_: None
nccl_engine.NCCLTrainerWeightTransferEngine._post_send_sync = staticmethod(lambda: None)
source = Checkpoint("cpu")
source.path = sys.argv[1]
sender = nccl_sender(Meeting("127.0.0.1", 1, 2), Control(lambda route, body: asked.append((route, body))), source)
sender.packed = False
sender.send_weights()
for route, body in asked:
    print("ASKED", route, *sorted(next(iter(body.values())) if body else ()))
"""


@pytest.mark.model
@pytest.mark.timeout(600)
def test_vllms_own_trainer_takes_what_it_is_given(checkpoint: str, model: Any, tmp_path: Path) -> None:
    python = os.environ.get(PYTHON) or (str(BESIDE) if BESIDE.exists() else "")
    if not python:
        pytest.skip(f"no vLLM: run `make vllm`, or set {PYTHON}")
    environment = os.environ | {"PYTHONPATH": ":".join(str(REPOSITORY / part) for part in ("", "agents"))}
    (tmp_path / "sent.py").write_text(SENT, encoding="utf-8")
    done = subprocess.run(
        [python, str(tmp_path / "sent.py"), checkpoint], env=environment, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    asked = [line.split()[1:] for line in lines if line.startswith("ASKED")]
    assert [route for route, *_ in asked] == [INIT, *ROUND], done.stdout + done.stderr
    assert {"master_address", "master_port", "rank_offset", "world_size"} <= set(asked[0])
    assert asked[2][1:] == ["dtype_names", "names", "shapes"]
    sent = [line for line in lines if line.startswith("TENSOR")]
    assert sorted(sent) == sorted(f"TENSOR {tuple(one.shape)} {one.dtype}" for one in model.parameters())


def test_without_vllm_a_transfer_says_what_is_missing(setting: Setting, checkpoint: str) -> None:
    if find_spec("vllm") is not None:
        pytest.skip("vLLM is here")
    setting.engine._transfer = NCCLTransfer(device="cpu")
    with pytest.raises(ExtraError, match="vllm"):
        deliver(setting.policy, WeightsRef(checkpoint, 1))
