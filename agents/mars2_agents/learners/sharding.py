"""A learner over several processes, by torch's `fully_shard`: each holds a part of every weight, gradient and moment.

    torchrun --nproc-per-node 2 ...      # or processes of one's own that call init_process_group
    learner = Learner(model, optimising, division=Shards())

Every process builds the same learner and calls the same methods with the same samples, in the same order (`lead` and
`follow` see to that where one process alone knows the samples). A batch's samples are dealt out by their tokens; what
they score is gathered, so that a loss is taken over the whole batch wherever it is taken; gradients are summed up.
A process with fewer passes than another makes some for nothing: gathering weights needs all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from mars2_agents.learners.division import Row
from mars2_agents.learners.scoring import base_of, packed
from mars2_env.errors import ConfigError, LogError


class Shards:
    """Divides a learner among all processes of torch's default process group.

    Args:
        device: where the shards lie, `cpu` or `cuda`; by default cuda where there is one.

    Raises:
        ConfigError: there is no process group.
    """

    def __init__(self, device: str | None = None) -> None:
        if not dist.is_initialized():
            raise ConfigError(
                "Shards: there is no process group; start the processes with torchrun, and call "
                "torch.distributed.init_process_group in each."
            )
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        if self.device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", dist.get_rank() % torch.cuda.device_count())))
        self._mesh = init_device_mesh(self.device, (dist.get_world_size(),))

    @property
    def rank(self) -> int:
        """The number of this process."""
        return dist.get_rank()

    @property
    def factor(self) -> float:
        """The number of processes: `fully_shard` takes the mean of their gradients, where the sum is wanted."""
        return float(dist.get_world_size())

    def spread(self, scorer: Any) -> None:
        """Shard the layers of a model, each as a whole, and all that is around them.

        Weights are gathered for a pass and dropped after it, those around the layers too: who loads new ones into the
        shards then cannot meet old ones.
        """
        for layer in layers_of(scorer.model):
            fully_shard(layer, mesh=self._mesh, reshard_after_forward=True)
        fully_shard(scorer, mesh=self._mesh, reshard_after_forward=True)

    def rows(self, lengths: Sequence[int], budget: int) -> list[Row]:
        """Return the passes of this process, as many as those of any other."""
        dealt = [
            [Row(tuple(share[place] for place in places)) for places in packed([lengths[one] for one in share], budget)]
            for share in deal(lengths, dist.get_world_size())
        ]
        mine, most = dealt[self.rank], max(map(len, dealt))
        shortest = sorted(range(len(lengths)), key=lengths.__getitem__)[:1]
        return mine + [Row(tuple(shortest), counts=False)] * (most - len(mine))

    def gathered(self, found: Mapping[int, Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """Return what all processes found, by place."""
        flat = torch.zeros(sum(sizes), dtype=torch.float32, device=self._mesh.device_type)
        parts = list(flat.split(list(sizes)))
        for place, values in found.items():
            parts[place].copy_(values)
        dist.all_reduce(flat)  # all others have zeros there
        return parts

    def whole(self, tensor: Tensor) -> Tensor:
        """Return a sharded tensor as one; every process has it for as long as it keeps it."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def placed(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return a whole tensor sharded as another is."""
        if not isinstance(like, DTensor):
            return tensor.to(like)
        there = tensor.to(device=like.device, dtype=like.dtype)
        return distribute_tensor(there, like.device_mesh, like.placements)

    def by_one(self, act: Callable[[], None]) -> None:
        """Let process 0 act while the others wait.

        Raises:
            LogError: in the others, where it failed; in process 0 what it raises.
        """
        failed = torch.zeros(1, device=self._mesh.device_type)
        try:
            if self.rank == 0:
                act()
        except BaseException:
            failed += 1
            raise
        finally:
            dist.broadcast(failed, src=0)
        if bool(failed):
            raise LogError("process 0 of the sharded learner could not write; its own error says why.")


def layers_of(model: Any) -> list[Any]:
    """Return the layers of a model, which are never split: what transformers names as such.

    Raises:
        ConfigError: it names none.
    """
    base = base_of(model)
    kinds = set(getattr(base, "_no_split_modules", None) or ())
    found = [one for one in base.modules() if type(one).__name__ in kinds]
    if not found:
        raise ConfigError(f"Shards: {type(base).__name__} does not say what its layers are (_no_split_modules).")
    return found


def deal(sizes: Sequence[int], shares: int) -> list[list[int]]:
    """Return places dealt out so that the sums of their sizes are near to each other, each share in order.

    The largest goes first, each to who has least so far (Graham, 1969: at most a third above the best).
    """
    found: list[list[int]] = [[] for _ in range(shares)]
    sums = [0] * shares
    for place in sorted(range(len(sizes)), key=lambda one: (-sizes[one], one)):
        least = sums.index(min(sums))
        found[least].append(place)
        sums[least] += sizes[place]
    return [sorted(share) for share in found]
