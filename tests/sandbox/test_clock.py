"""The clock of a run: what the machine withheld does not count, what a program did with its time does."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mars2_env.sandbox.worker import clock
from mars2_env.sandbox.worker.clock import Account, Clock, Task, starved
from mars2_env.sandbox.worker.frames import most_seconds
from mars2_env.sandbox.worker.watch import Watch, WithheldError

MAIN, OTHER = 7, 8


def after(interval: float, before: dict[int, Account], now: dict[int, Account]) -> float:
    """Return what is withheld between two looks that found these accounts."""
    return starved(interval, {number: Task(account) for number, account in before.items()}, now)


def test_a_sleeper_is_not_starved() -> None:
    asleep = Account(False, 0.1, 0.5)
    assert after(1.0, {MAIN: asleep}, {MAIN: asleep}) == 0.0


def test_a_task_that_was_in_the_queue_all_the_while_lost_all_of_it() -> None:
    waiting = Account(True, 0.1, 0.5)
    assert after(1.0, {MAIN: waiting}, {MAIN: waiting}) == 1.0


def test_a_task_that_just_woke_up_lost_nothing_yet() -> None:
    assert after(1.0, {MAIN: Account(False, 0.1, 0.5)}, {MAIN: Account(True, 0.1, 0.5)}) == 0.0


def test_a_task_that_runs_lost_what_it_waited_between_its_turns() -> None:
    assert after(1.0, {MAIN: Account(True, 0.1, 0.5)}, {MAIN: Account(True, 0.3, 1.1)}) == pytest.approx(0.6)


def test_no_more_is_lost_than_the_time_in_which_it_did_not_run() -> None:
    assert after(1.0, {MAIN: Account(True, 0.0, 0.0)}, {MAIN: Account(True, 0.7, 40.0)}) == pytest.approx(0.3)
    assert after(1.0, {}, {MAIN: Account(True, 0.7, 40.0)}) == pytest.approx(0.3)


def test_tasks_of_one_run_do_not_starve_each_other() -> None:
    before = {number: Account(True, 0.0, 0.0) for number in range(10)}
    taking_turns = {number: Account(True, 0.1, 0.9) for number in range(10)}
    assert after(1.0, before, taking_turns) == pytest.approx(0.0)
    one_runs_the_others_wait = {**before, 0: Account(True, 1.0, 0.0)}
    assert after(1.0, before, one_runs_the_others_wait) <= 0.0


def test_tasks_that_share_what_strangers_leave_them_lost_what_the_strangers_had() -> None:
    before = {MAIN: Account(True, 0.0, 0.0), OTHER: Account(True, 0.0, 0.0)}
    assert after(1.0, before, {MAIN: Account(True, 0.2, 0.8), OTHER: Account(True, 0.2, 0.8)}) == pytest.approx(0.6)


def test_many_that_wait_at_once_count_as_one() -> None:
    waiting = {number: Account(True, 0.0, 0.0) for number in range(50)}
    assert after(1.0, waiting, waiting) == 1.0


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=40))
def test_each_moment_of_waiting_is_counted_once_whenever_one_looks(turns: list[tuple[int, int]]) -> None:
    """A task waits and runs by turns, in milliseconds; the kernel adds a wait to its account when it is over."""
    state = [(True, running) for wait, run in turns for running in [False] * wait + [True] * run]
    tasks = {MAIN: Task(Account(True, 0.0, 0.0))}
    withheld = cpu = delay = pending = 0.0
    for moment, (ready, running) in enumerate(state, 1):
        if running:
            cpu, delay, pending = cpu + 1e-3, delay + pending, 0.0
        else:
            pending += 1e-3
        if moment % 20 == 0:
            withheld += starved(0.02, tasks, {MAIN: Account(ready, cpu, delay)})
    waited = 1e-3 * sum(wait for wait, _ in turns)
    assert waited - 0.04 <= withheld + 1e-9 and withheld <= waited + 1e-9


def test_a_task_that_was_in_the_queue_and_has_ended_since_waited_till_then() -> None:
    parent = Account(False, 0.1, 0.0)
    assert after(1.0, {MAIN: parent, OTHER: Account(True, 0.1, 0.5)}, {MAIN: parent}) == 1.0
    assert after(1.0, {MAIN: parent, OTHER: Account(False, 0.1, 0.5)}, {MAIN: parent}) == 0.0


def test_a_run_that_is_frozen_before_its_supervisor_loses_that_time() -> None:
    frozen = Account(False, 0.1, 0.5, stuck=True)
    assert after(1.0, {MAIN: frozen, OTHER: frozen}, {MAIN: frozen, OTHER: frozen}) == 1.0
    assert after(1.0, {MAIN: Account(True, 0.1, 0.5)}, {MAIN: frozen}) == 0.0, "since when is not known"


def test_a_program_that_waits_for_its_own_vforked_child_is_not_frozen() -> None:
    accounts = {MAIN: Account(False, 0.1, 0.5, stuck=True), OTHER: Account(False, 0.1, 0.5)}
    assert after(1.0, accounts, accounts) == 0.0


def test_what_the_supervisor_slept_through_is_a_freeze() -> None:
    run = Clock(0.0, (), 0)
    run.passed(0.01, 10.0)
    run.look(10.0)
    assert run.time(10.0) < 0.1


def test_what_the_supervisor_waited_for_a_core_is_no_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = iter([1.0, 11.0, 11.0])
    monkeypatch.setattr(clock, "own_delay", lambda: next(delays))
    monkeypatch.setattr(clock, "read_accounts", lambda others, nice: iter(()))
    run = Clock(0.0, (), 0)
    run.look(0.02)
    run.passed(0.01, 10.0)
    run.look(10.02)
    assert run.time(10.02) > 10.0, "a program that sleeps meanwhile has had its time"


def test_a_run_that_waited_for_its_supervisor_is_not_charged_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = iter([1.0, 1.5])
    monkeypatch.setattr(clock, "own_delay", lambda: next(delays))
    monkeypatch.setattr(clock, "read_accounts", lambda others, nice: iter(()))
    run = Clock(0.0, (), 0)
    run.look(0.02)
    run.served = True
    run.look(0.62)
    assert run.time(0.62) == pytest.approx(0.12)


def test_it_is_not_over_while_a_task_waits_for_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep, woken, ran = Account(False, 0.1, 0.0), Account(True, 0.1, 0.0), Account(False, 0.11, 0.8)
    accounts = iter([asleep, woken, ran, ran])
    monkeypatch.setattr(clock, "read_accounts", lambda others, nice: iter([(MAIN, next(accounts))]))
    run = Clock(0.0, (), 0)
    over = []
    for now in (0.2, 1.0, 1.1, 1.3):  # it woke up at 0.2, and got a core at 1.0
        run.look(now, at_once=True)
        over.append(run.is_over(0.4, now))
    assert over == [False, False, False, True]


def test_a_task_that_gave_itself_a_lower_priority_waits_by_its_own_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    for nice in (10, 19):
        (folder / "stat").write_text(f"7 (a) R) R {'0 ' * 10}5 5 0 0 0 {nice} 0")
        (folder / "schedstat").write_text("100000000 500000000 3\n")
        account = clock._read_account(str(folder), 10)
        assert account == (Account(True, 0.1, 0.5) if nice == 10 else Account(False, 0.1, 0.0))


class Withheld(Clock):
    """A clock that does not go on."""

    def time(self, now: float) -> float:
        return 0.0

    def look(self, now: float, *, at_once: bool = False) -> None:
        pass


class Unused:
    """What a run is watched from and where it runs; it uses nothing."""

    source = "cgroup"
    base_memory = 0

    def __init__(self) -> None:
        self.meter = self
        self.beats = 0

    def memory_bytes(self) -> int:
        return 0

    def cpu_seconds(self) -> float:
        return 0.0

    def beat(self) -> None:
        self.beats += 1


@pytest.fixture
def withheld() -> Watch:
    """The watch over a run, under the usual limits, that is not let go on at all."""
    watch = object.__new__(Watch)
    watch.surroundings = watch.seat = Unused()  # type: ignore[assignment]
    watch.reason, watch.memory, watch.memory_limit = "", 0, 1
    watch.cpu_before, watch.cpu_limit, watch.wall_limit = 0.0, 3.6, 9.0
    watch.clock = Withheld(0.0, (), 0)
    watch.beat_at, watch.give_up_at = 9.0, most_seconds(9.0)
    return watch


def test_the_host_hears_once_a_second_of_a_run_beyond_its_wall_limit(withheld: Watch) -> None:
    for now in (8.0, 9.5, 9.6, 11.0, 239.0):
        withheld.sample(now)
    assert withheld.reason == ""
    assert withheld.surroundings.beats == 3  # type: ignore[attr-defined]


def test_a_run_on_a_machine_without_cores_to_give_is_a_fault_and_no_verdict(
    withheld: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.worker.watch.share_of_a_core", lambda: 0.02)
    with pytest.raises(WithheldError, match="kept from going on"):
        withheld.sample(241.0)


def test_a_program_that_gives_way_for_ever_is_judged_where_there_are_cores_for_who_computes(
    withheld: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.worker.watch.share_of_a_core", lambda: 0.5)
    withheld.sample(241.0)
    assert withheld.reason == "wall"


def test_a_run_that_was_frozen_for_too_long_is_a_fault_whatever_the_machine_has_to_give_now(
    withheld: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.worker.watch.share_of_a_core", lambda: 1.0)
    withheld.clock.frozen = 200.0
    with pytest.raises(WithheldError):
        withheld.sample(241.0)


def test_what_a_core_has_to_give_is_found_by_using_it() -> None:
    assert 0.0 < clock.share_of_a_core() < 1.1


def test_this_process_has_an_account_of_its_own() -> None:
    accounts = dict(clock.read_accounts((), 19))
    own = accounts[os.getpid()]  # that of the main thread
    assert own.ready and 0.0 < own.cpu <= time.process_time() + 0.1
