"""Our hostile programs under bubblewrap: the verdicts that their headers allow, and no harm, but for what differs.

A few programs print what they managed to do, and are expected to manage nothing. Under bubblewrap they manage something
harmless, which `DIFFERENCES` states for each; of those the verdict is not compared, everything else is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from test_bubblewrap_same import below
from test_hostile import CANARY, CASES, PROBLEMS, RIGHT, RUN_LIMITS, Case, Recorded, leave_a_canary

from mars2_env.judge import Judge
from mars2_env.sandbox import BubblewrapSandbox, make_sandbox
from mars2_env.sandbox import bubblewrap as back_end

pytestmark = pytest.mark.slow

DIFFERENCES = {
    "channels/files_of_its_user_id": "empty folders of bubblewrap's belong to the one user there is; all are read-only",
    "kernel/posix_queues": "the scratch folder is a file system of its own, which the program takes for one of queues",
    "kernel/settings_in_proc_and_sys": "its own uid_map can be opened, but not written: it is set already",
    "kernel/sockets_of_the_host": "there is no /proc/net at all",
    "processes/signals_by_descriptor": "its guard may be signalled, without effect",
    "processes/signals_to_all_others": "there is no other process to signal, which is another error",
    "processes/tampers_with_the_next_seat": "the process it changes is its own guard, whose end is its own",
    "protocol/opens_the_other_end": "its own pipes can be opened the other way: it can only talk to itself",
}
WITHOUT_GROUPS = {
    "channels/fresh_memory": "memfd_create is denied",
    "resources/memory_files": "memfd_create is denied",
    "resources/memory_files_of_small_processes": "memfd_create is denied",
}


@pytest.fixture(scope="module", params=["control groups", "rlimits"])
def boxes(bubblewrap: None, request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, BubblewrapSandbox]]]:
    """A sandbox of one worker for each isolation of calls."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "rlimits":
            patch.setattr(back_end, "own_groups", lambda: (1, {}))
        made: dict[str, Any] = {}
        try:
            for isolation in ("program", "input"):
                made[isolation] = make_sandbox("bubblewrap", workers=1, isolation=isolation)
                made[isolation].run("print(1)", [""])
            yield request.param, made
        finally:
            for sandbox in made.values():
                sandbox.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_program_gets_an_allowed_verdict_and_harms_nobody(
    case: Case, boxes: tuple[str, dict[str, BubblewrapSandbox]]
) -> None:
    measured, sandboxes = boxes
    sandbox = sandboxes[case.isolation]
    if measured == "control groups" and not sandbox.describe()["measured by"].startswith("control group"):
        pytest.skip("needs control groups that this user may make")
    leave_a_canary(sandbox)  # type: ignore[arg-type]
    workers = sandbox.supervisors
    recorded = Recorded(sandbox)  # type: ignore[arg-type]
    verdict = Judge(recorded).grade(  # type: ignore[arg-type]
        PROBLEMS[case.mode], case.path.read_text(encoding="utf-8"), tests=("public", "hidden")
    )
    name = f"{case.path.parent.name}/{case.path.stem}"
    if name not in DIFFERENCES and (measured == "control groups" or name not in WITHOUT_GROUPS):
        assert case.allows(verdict), f"{verdict} of {recorded.runs}"
    assert not any(CANARY.search(repr(run)) for run in recorded.runs), "another job's data was found"
    assert max(run.wall_seconds for run in recorded.runs) <= RUN_LIMITS.wall_seconds + 1
    assert Judge(sandbox).grade(PROBLEMS[case.mode], RIGHT[case.mode], tests="all").passed
    assert sandbox.supervisors == workers, "the worker was lost"
    deadline = time.monotonic() + 120  # a bound for what hangs, not a measure of speed
    while len(found := below(workers[0])) != 4:
        assert time.monotonic() < deadline, f"processes left: {sorted(found)}"
        os.sched_yield()
