"""`mars2 record`, and `mars2 search` with a bank and with a configuration file, as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mars2_env.bank import read_bank

TEAM = ("--agent", "coder=noise:default", "--agent", "fixer=noise:weak")
RECORD = ("record", "starter", "--limit", "2", *TEAM, "--children", "2", "--depth", "2")


def mars2(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mars2_env.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
        cwd=cwd,
        check=False,
    )


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, docker_engine: None) -> Path:
    """A bank that the command recorded."""
    out = tmp_path_factory.mktemp("bank") / "bank"
    done = mars2(*RECORD, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "40 replies to record: 2 problems, 2 agents, 2 children of each at every place, to depth 2." in done.stderr
    assert "2/2 trees" in done.stderr
    assert f"--agent coder_0=replay:{out} --agent fixer_0=replay:{out}" in done.stdout
    return out


def test_a_search_of_recorded_agents_is_the_live_one_and_repeats_to_the_bit(bank: Path, tmp_path: Path) -> None:
    play = ("search", "starter", "--limit", "2", "--budget", "2", "--selector", "mars2")
    replay = ("--agent", f"coder=replay:{bank}", "--agent", f"fixer=replay:{bank}")
    for out, team in (("live", TEAM), ("replayed", replay), ("again", replay)):
        done = mars2(*play, *team, "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    assert logs(tmp_path / "live") == logs(tmp_path / "replayed") == logs(tmp_path / "again")
    assert len(logs(tmp_path / "live")) == 2


def test_a_search_that_leaves_the_bank_ends_with_the_place_that_is_missing(bank: Path) -> None:
    replay = ("--agent", f"coder=replay:{bank}", "--agent", f"fixer=replay:{bank}")
    done = mars2("search", "starter", "--limit", "1", "--budget", "9", "--selector", "repeated_sampling", *replay)
    assert done.returncode == 2
    assert "no reply was recorded for child 2 of coder_0 at the root of" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_killed_with_sigkill_goes_on_to_the_same_bytes(bank: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mars2_env.cli", *RECORD, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    trees = tmp_path / "recording" / "trees"
    while process.poll() is None and sum(path.read_bytes().count(b'"told"') for path in trees.glob("*.jsonl")) < 3:
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = mars2(*RECORD, "--out", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bank.jsonl.gz").read_bytes() == (bank / "bank.jsonl.gz").read_bytes()
    assert json.loads(done.stdout)["digest"] == read_bank(bank).digest


def test_a_file_is_played_and_the_command_line_comes_before_it(bank: Path, tmp_path: Path) -> None:
    (tmp_path / "team.toml").write_text(
        f"""
        [problems]
        set = "starter"
        limit = 2
        [task]
        budget = 2
        selector = "repeated_sampling"
        [agents]
        coder = "replay:{bank}"
        fixer = {{ policy = "replay:{bank}" }}
        [rollout]
        seed = 4
        out = "run"
        """
    )
    printed = mars2("search", "--config", tmp_path / "team.toml", "--print-config", "--limit", "1", cwd="/")  # type: ignore[arg-type]
    assert printed.returncode == 0, printed.stderr
    (tmp_path / "printed.toml").write_text(printed.stdout)
    for done in (
        mars2("search", "--config", "team.toml", "--limit", "1", "--json", cwd=tmp_path),
        mars2("search", "--config", tmp_path / "printed.toml", "--json"),
    ):
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["out"], found["trees"], found["nodes"]) == (str(tmp_path / "run"), 1, 2)
    assert [path.stem for path in (tmp_path / "run" / "trees").glob("*.jsonl")] == [
        "starter%2Ftrain%2Fshift-code%2F0.seed4"
    ]
    live = mars2("search", "--config", "team.toml", "--agent", "fixer=noise:weak", "--print-config", cwd=tmp_path)
    assert '[agents.fixer_0]\npolicy = "noise:weak"' in live.stdout
    for options, message in (
        (("--agent", "codr=noise:weak"), "unknown agent 'codr_0'. Did you mean 'coder_0'"),
        (("--budget", "x=1"), "mars2: unknown resource in budget 'x=1'"),
        (("--selector", "utc"), "mars2: --selector 'utc'|mars2: unknown selector 'utc'"),
    ):
        wrong = mars2("search", "--config", "team.toml", *options, cwd=tmp_path)
        assert wrong.returncode == 2
        assert any(one in wrong.stderr for one in message.split("|")), wrong.stderr


def test_without_problems_or_agents_the_commands_say_what_to_give(tmp_path: Path) -> None:
    for command in (("search",), ("record", "--children", "1", "--depth", "1", "--out", str(tmp_path / "x"))):
        nothing = mars2(*command)
        assert (nothing.returncode, "no problem set: name one" in nothing.stderr) == (2, True), nothing.stderr
        alone = mars2(*command, "starter")
        assert (alone.returncode, "no agents: give --agent name=policy" in alone.stderr) == (2, True), alone.stderr
    (tmp_path / "s.toml").write_text('problems = "starter"\ntask.sandbox = "scripted"\nagents.a = "noise"\n')
    invented = mars2("search", "--config", tmp_path / "s.toml")
    assert (invented.returncode, "task.sandbox='scripted'" in invented.stderr) == (2, True)


@pytest.mark.model
def test_a_language_model_is_recorded_and_replayed(tmp_path: Path, docker_engine: None) -> None:
    model = ("--agent", "coder=hf:smollm2,max_new_tokens=48")
    done = mars2(
        "record", "starter", "--limit", "1", *model, "--children", "2", "--depth", "1", "--out", tmp_path / "b"
    )
    assert done.returncode == 0, done.stderr
    found = read_bank(tmp_path / "b")
    assert found.header.agents["coder_0"].policy.startswith("transformers:smollm2")
    assert [0 < (one.completion_tokens or 0) <= 48 for one in found.replies.values()] == [True, True]
    play = ("search", "starter", "--limit", "1", "--budget", "2", "--selector", "repeated_sampling")
    replay = ("--agent", f"coder=replay:{tmp_path / 'b'}")
    for out in ("one", "two"):
        assert mars2(*play, *replay, "--out", tmp_path / out).returncode == 0
    assert logs(tmp_path / "one") == logs(tmp_path / "two")
    (log,) = logs(tmp_path / "one").values()
    assert all(json.dumps(one.text)[1:-1][:20] in log.decode() for one in found.replies.values())
