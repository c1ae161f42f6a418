"""How many cores this process may use: what the machine has, less what affinity and control groups keep from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


def cores(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """Return how many programs can compute at a time here, at least 1.

    That is the cores that the scheduler may use for this process, or the CPU quota of its control group (or of one
    above it) where that is less; a part of a core counts as one.

    Args:
        groups: where control groups are mounted.
        own: the file that says which are this process's.
    """
    return max(1, min([len(allowed()), *map(ceil, _quotas(groups, own))]))


def allowed() -> list[int]:
    """Return the numbers of the cores that the scheduler may use for this process."""
    try:
        return sorted(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on this system
        return list(range(os.cpu_count() or 1))


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Yield the CPU quotas that hold for this process, in cores; of both versions of control groups."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in [groups / controllers, groups / "cpu"] if controllers else [groups, groups / "unified"]:
            place = root / path.strip("/")
            for folder in (place, *place.parents):  # a container sees its own group as the root
                quota = _quota(folder)
                if quota is not None:
                    yield quota
                if folder == root:
                    break


def _quota(folder: Path) -> float | None:
    """Return the CPU quota that a control group has, in cores; None where there is none."""
    try:
        if (file := folder / "cpu.max").exists():
            quota, period = file.read_text().split()[:2]
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        found = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # missing, or "max"
        return None
    return found if found > 0 else None
