"""A training over several processes, which torchrun starts: the first grows trees and leads, all of them learn.

    torchrun --nproc-per-node 2 -m mars2_env.cli train config.toml

Every process has a part of each learner (`mars2_agents.learners.sharding`) and makes the calls that the first one makes
(`following`). Files and samplers are the first one's; the folder of the training is to be seen by all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
import torch.distributed as dist

from mars2_agents.learners.following import follow
from mars2_agents.training.building import learners
from mars2_agents.training.config import Training
from mars2_env.errors import PolicyError

TORCHRUN: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts, by environment variables."""


@contextmanager
def joined() -> Iterator[int]:
    """Join the processes that torchrun started, and yield the number of this one; 0 where it is alone."""
    if any(name not in os.environ for name in TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
        yield 0
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield dist.get_rank()
    dist.destroy_process_group()  # after an error the process ends, and whoever is in the middle of a call sees that


def follow_training(training: Training) -> None:
    """Learn what process 0 has this process learn, until the training ends.

    Raises:
        PolicyError: process 0 went away, or this process cannot go on.
    """
    made = learners(training)
    try:
        follow(made)
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise PolicyError(
            f"process {dist.get_rank()} of the training cannot go on: {why:.300}. Where process 0 ended "
            "first, it says why."
        ) from error
