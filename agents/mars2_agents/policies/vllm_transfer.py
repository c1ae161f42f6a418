"""vLLM's own weight transfer: tensors go by NCCL from a GPU of this process to those of a server's workers.

For servers that share no disk with this process, or whose disk is slow; `HTTPEngine(server, transfer=NCCLTransfer())`
then loads new weights so, where it would otherwise have the server read them. The server is started with

    --weight-transfer-config '{"backend": "nccl"}'

and this process needs vLLM and a GPU of its own. vLLM's other way for one GPU, CUDA IPC, goes over HTTP as a pickle,
which this library neither writes nor reads. Source: vLLM 0.32, `vllm.distributed.weight_transfer`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias

from mars2_env.base.extras import needed_by
from mars2_env.errors import PolicyError

Post: TypeAlias = Callable[[str, Mapping[str, Any] | None], None]
"""Has a server do what a route says, and raises where it does not."""

DTYPES: Final = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""What safetensors call a dtype -> what torch does."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A tensor before it is read: its name, torch's dtype, its shape."""

    name: str
    dtype: Any
    shape: tuple[int, ...]


class Checkpoint:
    """The tensors of a checkpoint folder, read one by one, as vLLM's `WeightSource` gives them.

    Args:
        device: where they are read to.

    `path` may be changed between two rounds.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.path = ""

    def metadata(self) -> list[Parameter]:
        """Return what iteration will give, in its order, without reading any tensor.

        Raises:
            PolicyError: the folder has no safetensors, or a tensor of a kind that weights do not have.
        """
        import torch

        found = []
        for name, stored in self._stored():
            if (kind := stored.get_dtype()) not in DTYPES:
                raise PolicyError(f"{self.path}: {name!r} has dtype {kind}; weights have one of {', '.join(DTYPES)}.")
            found.append(Parameter(name, getattr(torch, DTYPES[kind]), tuple(stored.get_shape())))
        return found

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for name, stored in self._stored():
            yield name, stored[:]

    def held_names(self) -> None:
        """Return None: this process holds them all."""

    def _stored(self) -> Iterator[tuple[str, Any]]:
        from safetensors import safe_open

        files = sorted(Path(self.path).glob("*.safetensors"))
        if not files:
            raise PolicyError(f"{self.path} holds no checkpoint in safetensors.")
        for file in files:
            with safe_open(file, framework="pt", device=self.device) as opened:
                for name in sorted(opened.keys()):
                    yield name, opened.get_slice(name)


@dataclass(frozen=True, slots=True)
class Control:
    """A server's side of a transfer, as vLLM's trainers ask it (`VLLMWeightSyncClient`)."""

    post: Post

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Have the workers join; returns when all have."""
        self.post("/init_weight_transfer_engine", {"init_info": init_info})

    def start_weight_update(self) -> None:
        """Have them make ready."""
        self.post("/start_weight_update", None)

    def update_weights(self, update_info: Any) -> None:
        """Have them take the tensors that are named; returns when they have."""
        self.post("/update_weights", {"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Have them act with what they took."""
        self.post("/finish_weight_update", None if weight_version is None else {"weight_version": weight_version})


class Sender(Protocol):
    """A trainer's end of a transfer (vLLM's `TrainerWeightTransferEngine`)."""

    def send_weights(self) -> None:
        """Send the source's tensors, and have the server act with them."""
        ...

    def shutdown(self) -> None:
        """Leave the group."""
        ...


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where trainer and workers meet: this process's address as the workers reach it, a port, how many they are."""

    address: str
    port: int
    world_size: int


Opens: TypeAlias = Callable[[Meeting, Control, Checkpoint], Sender]


def nccl_sender(meeting: Meeting, control: Control, source: Checkpoint) -> Sender:
    """Meet the workers and return what sends to them.

    Raises:
        ExtraError: this Python has no vLLM.
    """
    with needed_by("vllm"):
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
    told = NCCLTrainerInitInfo(
        master_address=meeting.address, master_port=meeting.port, world_size=meeting.world_size, rank=0
    )
    sender: Sender = WeightTransferTrainerFactory.trainer_init(told, client=control, source=source)
    return sender


class NCCLTransfer:
    """Sends checkpoints to the workers of one server; meets them at the first, and again where a transfer failed.

    Args:
        address: this machine, as the server's workers reach it.
        port: where they meet; 0 for any that is free.
        device: the GPU that tensors are sent from, one that the server does not use.
        opens: makes the sender; for tests.
    """

    def __init__(
        self, *, address: str = "127.0.0.1", port: int = 0, device: str = "cuda", opens: Opens = nccl_sender
    ) -> None:
        self.address, self.port = address, port
        self._opens = opens
        self._source = Checkpoint(device)
        self._sender: Sender | None = None
        self._lock = Lock()

    def send(self, path: str, post: Post, workers: int) -> None:
        """Put a checkpoint's tensors into a server that stands still.

        Args:
            path: its folder, here.
            post: asks the server.
            workers: over how many GPUs the server's model is spread.

        Raises:
            PolicyError: there is no such checkpoint, or the server refuses.
        """
        with self._lock:
            self._source.path = path
            self._source.metadata()  # before anybody waits for it
            if self._sender is None:
                self._sender = self._opens(self._meeting(workers), Control(post), self._source)
            try:
                self._sender.send_weights()
            except BaseException:
                # What waits in a group that is broken waits for ever: all leave it, and meet anew the next time.
                self._leave()
                with suppress(PolicyError):
                    post("/shutdown_weight_transfer_engine", None)
                raise

    def forget(self) -> None:
        """Meet the workers anew at the next transfer: the server was started again."""
        with self._lock:
            self._leave()

    def _leave(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.shutdown()

    def _meeting(self, workers: int) -> Meeting:
        port = self.port
        if not port:
            with socket.socket() as found:
                found.bind((self.address, 0))
                port = int(found.getsockname()[1])
        return Meeting(self.address, port, workers + 1)
