"""How many cores there are is what affinity and the CPU quotas of control groups leave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mars2_env.base.machine import cores


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight cores may be used."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_quotas_they_are_those_that_the_scheduler_may_use(tmp_path: Path) -> None:
    assert cores(tmp_path, tmp_path / "missing") == 8
    own = written(tmp_path / "own", "0::/work/job\n")
    written(tmp_path / "groups/work/job/cpu.max", "max 100000\n")
    assert cores(tmp_path / "groups", own) == 8


@pytest.mark.parametrize(("quota", "count"), [("250000 100000", 3), ("50000 100000", 1), ("9900000 100000", 8)])
@pytest.mark.parametrize("place", ["work/job", "work", ""])
def test_the_quota_of_the_group_or_of_one_above_it_counts(tmp_path: Path, place: str, quota: str, count: int) -> None:
    own = written(tmp_path / "own", "1:memory:/else\n0::/work/job\n")
    written(tmp_path / "groups" / place / "cpu.max", f"{quota}\n")
    assert cores(tmp_path / "groups", own) == count


@pytest.mark.parametrize(("quota", "count"), [("200000", 2), ("-1", 8)])
def test_groups_of_version_1_are_read_too(tmp_path: Path, quota: str, count: int) -> None:
    own = written(tmp_path / "own", "5:cpu,cpuacct:/job\n0::/\n")
    written(tmp_path / "groups/cpu,cpuacct/job/cpu.cfs_quota_us", quota)
    written(tmp_path / "groups/cpu,cpuacct/job/cpu.cfs_period_us", "100000")
    assert cores(tmp_path / "groups", own) == count
