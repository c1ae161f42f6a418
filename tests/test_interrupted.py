"""Ctrl-C and kill -9 in mid-run, of processes whose policies hang: they end, and the same run goes on in another."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from toys import Guesser, problem_set, sandbox

import mars2_env

HERE = Path(__file__).parent
PATIENCE = 15
"""Seconds that an interrupted process may take: it promises 5, on a machine with nothing else to do."""

HANGING = """
import asyncio, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.path.insert(0, {here!r})
import mars2_env
from toys import Guesser, problem_set, sandbox

kind, out = sys.argv[1:]

class Hanging(Guesser):
    identity = "guesser"

    def stuck(self, turn):
        if turn.problem.id == "toy/2" and turn.id == 2:
            print("hangs", flush=True)
            return True
        return False

    def act(self, turns):
        if any(map(self.stuck, turns)):
            threading.Event().wait()
        return super().act(turns)

class Generating(Hanging):
    async def generate(self, turn, *, priority):
        while self.stuck(turn):
            try:
                if kind == "thread":
                    await asyncio.to_thread(threading.Event().wait)
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if kind != "deaf":
                    raise
        return self.reply(turn)

policy = Hanging() if kind == "act" else Generating()
task = mars2_env.task(problem_set(), sandbox=sandbox())
if kind == "async":
    async def main():
        async for tree in mars2_env.arollout(task, policy, out=out, in_flight=2):
            pass
    asyncio.run(main())
else:
    list(mars2_env.rollout(task, policy, out=out, in_flight=2))
"""


class Actor(Guesser):
    """Never hangs; the same policy to the run folder."""

    identity = "guesser"


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


@pytest.mark.parametrize("kind", ["act", "generate", "deaf", "thread", "async"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_whose_policy_hangs_ends_when_it_is_told_to_and_goes_on_in_another_process(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    out = tmp_path / "cut"
    command = [sys.executable, "-c", HANGING.format(here=str(HERE)), kind, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(number)
        try:
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == -number
    if number == signal.SIGINT:
        assert "\nKeyboardInterrupt\n" in errors
    assert any(logs(out).values())
    task = mars2_env.task(problem_set(), sandbox=sandbox())
    for folder in (out, tmp_path / "whole"):
        trees = list(mars2_env.rollout(task, Actor(), out=folder, in_flight=2))
        assert len(trees) == 4
    assert logs(out) == logs(tmp_path / "whole")
