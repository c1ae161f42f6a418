"""The command line, as a process of its own with real Docker: what it prints, leaves behind, survives and refuses."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import mars2_env
from mars2_env.log import log_path
from mars2_env.tasks.policies import make_policy

TEAM = ("--agent", "coder=noise:default", "--agent", "fixer=noise:weak")
PROBLEMS = ("starter", "--limit", "3", "--budget", "6")


def mars2(
    *arguments: str | Path, env: dict[str, str] | None = None, input: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mars2_env.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=input,
        env={**os.environ, "COLUMNS": "120", **(env or {})},
        check=False,
    )


def logs(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (out / "trees").glob("*.jsonl")}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, docker_engine: None) -> Path:
    """A finished run of the search command."""
    out = tmp_path_factory.mktemp("run")
    done = mars2("search", *PROBLEMS, *TEAM, "--out", out)
    assert done.returncode == 0, done.stderr
    for part in (
        "trees",
        "duplicates of an earlier program",
        "nodes by coder_0",
        "solved on public tests",
        "seconds in models",
    ):
        assert part in done.stdout
    assert "3/3 trees" in done.stderr
    return out


def test_search_then_evaluate_prints_the_fields_numbers_with_intervals(run: Path) -> None:
    done = mars2("evaluate", run, "--verbose")
    assert done.returncode == 0, done.stderr
    assert "Pass@1(MCTS)" in done.stdout
    assert "Pass@N" in done.stdout
    assert "starter/train/badge/0: answer #" in done.stdout
    results = mars2_env.evaluate(run)
    assert len(results.trees) == 3
    assert f"{results.pass_at_n:.3f}" in done.stdout
    assert "of 18 nodes repeat an earlier program" in done.stdout
    by_agreement = mars2("evaluate", run, "--answer", "agreement")
    assert by_agreement.returncode == 0, by_agreement.stderr
    assert "answer by agreement" in by_agreement.stdout


def test_a_second_run_with_the_same_seed_is_byte_identical(run: Path, tmp_path: Path) -> None:
    assert mars2("search", *PROBLEMS, *TEAM, "--out", tmp_path).returncode == 0
    assert logs(tmp_path) == logs(run)
    assert len(logs(run)) == 3


def test_a_run_killed_with_sigkill_at_five_random_moments_ends_with_the_same_logs(run: Path, tmp_path: Path) -> None:
    rng = random.Random()
    command = [sys.executable, "-m", "mars2_env.cli", "search", *PROBLEMS, *TEAM, "--out", str(tmp_path)]
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(0.8, 2.5))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    assert logs(tmp_path) == logs(run)


def test_ctrl_c_says_how_to_go_on_and_leaves_a_run_that_can(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mars2_env.cli", "search", *PROBLEMS, *TEAM, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    trees = tmp_path / "trees"
    while process.poll() is None and not (trees.is_dir() and any(trees.iterdir())):
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode in (0, 130)
    if process.returncode == 130:
        assert "the same command goes on from here" in errors
    assert "Traceback" not in errors
    assert mars2(*command[3:]).returncode == 0
    assert logs(tmp_path) == logs(run)


INTERRUPTED = """
import os, signal, sys
import typer
from mars2_env.cli.interrupts import be_patient, interruptible
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in a shell's background is begun without one
be_patient()
try:
    with interruptible("all is kept"):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            for _ in range(int(sys.argv[1])):
                os.kill(os.getpid(), signal.SIGINT)
            print("put away", flush=True)
except typer.Exit as ended:
    sys.exit(ended.exit_code)
"""


@pytest.mark.parametrize(
    ("further", "out", "said"),
    [
        (0, "put away\n", "interrupted; all is kept.\n"),
        (1, "put away\n", "stopping; once more to leave at once.\ninterrupted; all is kept.\n"),
        (2, "", "stopping; once more to leave at once.\n"),
    ],
)
def test_ctrl_c_interrupts_once_and_the_third_leaves_at_once(further: int, out: str, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(further)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, out, said)


def test_three_ctrl_c_in_a_row_leave_no_traceback_and_a_run_that_can_be_gone_on_with(run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mars2_env.cli", "search", *PROBLEMS, *TEAM, "--out", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    trees = tmp_path / "trees"
    while process.poll() is None and not (trees.is_dir() and any(trees.iterdir())):
        os.sched_yield()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        os.sched_yield()
    _, errors = process.communicate()
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors
    assert mars2(*command[3:]).returncode == 0
    assert logs(tmp_path) == logs(run)


def test_a_search_says_its_sandbox_and_that_nothing_is_kept_without_out(run: Path) -> None:
    done = mars2("search", "starter", "--limit", "1", "--budget", "1", "--agent", "coder=noise:default")
    assert "sandbox: docker runs a known program as it must.\n" in done.stderr
    assert "no --out: nothing is kept" in done.stderr
    again = mars2("search", *PROBLEMS, *TEAM, "--out", run)
    assert "sandbox: docker, which the run was begun in.\n" in again.stderr
    assert "no --out" not in again.stderr


def test_a_run_that_is_not_finished_is_evaluated_only_when_asked_for(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "part")
    next((tmp_path / "part" / "trees").glob("*.jsonl")).unlink()
    done = mars2("evaluate", tmp_path / "part")
    assert done.returncode == 2
    assert "2 of 3 planned trees are finished" in done.stderr and "--partial" in done.stderr
    done = mars2("evaluate", tmp_path / "part", "--partial")
    assert done.returncode == 0, done.stderr
    assert "2 of 3 planned trees" in done.stdout and "if the missing fail - pass" in done.stdout


FAULTY = """
import sys
from mars2_env.cli import main
from mars2_env.errors import SandboxError
from mars2_env.sandbox import register_sandbox
from mars2_env.testing import ScriptedSandbox
@register_sandbox("faulty")
def faulty(*, workers=None):
    def run(program, input):
        raise SandboxError("two workers failed")
    return ScriptedSandbox(run)
sys.argv[0] = "mars2"
main()
"""


def test_a_search_whose_trees_end_by_faults_says_so_and_does_not_exit_with_0(tmp_path: Path) -> None:
    search = ["search", "starter", "--limit", "2", "--agent", "coder=noise:default", "--sandbox", "faulty"]
    command = [sys.executable, "-c", FAULTY, *search, "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "300"})
    assert done.returncode == 1, done.stderr
    assert "2 of 2 trees ended by faults; the same command takes them up again." in done.stderr
    assert done.stderr.count("ENDED BY FAULTS (coder_0: 3 in a row)") == 2


def test_the_environment_writes_the_log_of_the_search_command(run: Path, tmp_path: Path, docker_engine: None) -> None:
    task = mars2_env.task("starter", agents=["coder", "fixer"], budget=6, out=tmp_path)
    policies = {
        "coder_0": make_policy("noise:default", problems=task.problems),
        "fixer_0": make_policy("noise:weak", problems=task.problems),
    }
    env = mars2_env.make(task)
    assert isinstance(env, mars2_env.envs.TreeSearchAEC)
    for problem in list(task.problems)[:3]:
        env.reset(seed=0, options={"problem": problem.id})
        while env.turn is not None:
            (reply,) = policies[env.turn.agent].act([env.turn])
            env.step({"program": reply.text})
        env.close()
        ours = log_path(tmp_path, problem.id, 0).read_bytes()
        assert ours == log_path(run, problem.id, 0).read_bytes()


def test_replay_agrees_with_every_log_of_a_run(run: Path) -> None:
    trees = mars2_env.read_log(run)
    assert [mars2_env.replay(tree) for tree in trees] == trees


def test_a_run_is_not_resumed_by_another_command(run: Path) -> None:
    done = mars2("search", "starter", "--limit", "3", "--budget", "7", *TEAM, "--out", run)
    assert done.returncode == 2
    assert "task.budget.nodes was 6 and is now 7" in done.stderr
    done = mars2("search", *PROBLEMS, "--agent", "coder=noise:default", "--agent", "fixer=noise:default", "--out", run)
    assert "team.fixer_0 was 'noise:weak' and is now 'noise:default'" in done.stderr


def test_limits_compose_and_the_end_of_each_tree_is_said(docker_engine: None) -> None:
    limits = ("--budget", "nodes=9,coder_0.nodes=2,fixer_0.nodes=3", "--patience", "8", "--solutions", "3")
    done = mars2("search", "starter", "--limit", "2", *TEAM, *limits)
    assert done.returncode == 0, done.stderr
    lines = " ".join(done.stderr.split())
    assert lines.count("ended by budget (coder_0: nodes: 2 of 2; fixer_0: nodes: 3 of 3)") == 2, done.stderr
    unbounded = mars2("search", "starter", "--limit", "1", *TEAM, "--budget", "judge_seconds=0.001")
    assert unbounded.returncode == 0, unbounded.stderr
    assert "ended by budget (judge_seconds: " in unbounded.stderr


@pytest.mark.docker
def test_judge_says_what_failed_and_exits_by_the_verdict(tmp_path: Path) -> None:
    problem = next(p for p in mars2_env.load_problems("starter") if isinstance(p.interface, mars2_env.Call))
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    assert problem.reference is not None
    good.write_text(problem.reference)
    bad.write_text(f"def {problem.interface.name}(*args):\n    raise KeyError('\x1b[31mred')\n")
    done = mars2("judge", problem.id, good, "--tests", "all")
    assert (done.returncode, done.stderr) == (0, "")
    assert "verdict: passed" in done.stdout
    done = mars2("judge", problem.id, "-", input=bad.read_text())
    assert done.returncode == 1
    assert "runtime_error" in done.stdout
    assert "KeyError" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.docker
def test_problems_are_listed_shown_and_checked(tmp_path: Path) -> None:
    assert "starter" in mars2("problems", "list").stdout.split()
    listed = mars2("problems", "list", "starter").stdout
    assert "starter/train/badge/0" in listed
    assert "hash" in listed
    shown = mars2("problems", "show", "starter/train/badge/0").stdout
    assert "public test" in shown
    done = mars2("problems", "check", "starter", "--limit", "4")
    assert done.returncode == 0
    assert done.stdout.endswith("4 of 4 references pass all tests\n")
    wrong = tmp_path / "wrong.jsonl"
    record = {"id": "x/1", "statement": "Say 1.", "interface": "stdin", "reference": "print(2)"}
    record |= {group: [{"input": "", "output": "1"}] for group in ("public", "hidden")}  # type: ignore[dict-item]
    wrong.write_text(json.dumps(record) + "\n")
    done = mars2("problems", "check", wrong)
    assert done.returncode == 1
    assert "x/1: the reference fails: wrong_answer" in done.stdout


@pytest.mark.docker
def test_env_shows_spaces_and_plays_an_episode() -> None:
    done = mars2("env", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "AnyText" in done.stdout
    assert "[8/8]" in done.stdout
    assert done.stdout == mars2("env", "--seed", "3").stdout


@pytest.mark.docker
@pytest.mark.parametrize("game", ["place", "route"])
def test_env_plays_the_numeric_games(game: str) -> None:
    done = mars2("env", "--game", game, "--generators", "noise:perfect", "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert "action_mask" in done.stdout
    assert "passed 1.00" in done.stdout
    sums = [float(line.split("sum to ")[1].split(",")[0]) for line in done.stdout.splitlines() if "sum to" in line]
    assert sum(sums) == 1.0  # progress: the best score of the tree, shared out among those who raised it
    assert "[8/8]" in done.stdout


@pytest.mark.docker
def test_sandbox_check_says_which_isolation_is_in_force() -> None:
    done = mars2("sandbox", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("docker", "seccomp", "network"):
        assert part in done.stdout.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search", "humanevl", *TEAM), "humaneval"),
        (("search", "starter", "--agent", "coder=nois:default"), "Did you mean 'noise'"),
        (("search", "starter", "--agent", "coder"), "name=policy"),
        (("search", "starter", "--agent", "coder=noise:default", "--selector", "mcts"), "unknown selector"),
        (("search", "starter", "--agent", "coder=noise:default", "--problem", "starter/train/bage/0"), "badge"),
        (("search", "empty.jsonl", *TEAM), "empty.jsonl"),
        (("search", "missing.jsonl", *TEAM), "missing.jsonl"),
        (("search", "starter", *TEAM, "--sandbox", "dokcer"), "docker"),
        (("search", "starter", *TEAM, "--sandbox", "scripted"), "invents verdicts"),
        (("judge", "starter/train/badge/0", "missing.py", "--sandbox", "scripted"), "invents verdicts"),
        (("problems", "check", "starter", "--sandbox", "scripted"), "invents verdicts"),
        (("env", "--sandbox", "scripted"), "invents verdicts"),
        (("sandbox", "check", "scripted"), "no isolation"),
        (("search", "starter", *TEAM, "--budget", "0"), "at least 1"),
        (("search", "starter", *TEAM, "--budget", "nodes=5,token=9"), "Did you mean 'tokens'"),
        (("search", "starter", *TEAM, "--budget", "5,fixer.nodes=1"), "Did you mean 'fixer_0'"),
        (("search", "starter", *TEAM, "--patience", "0"), "--patience 0: must be a whole number of at least 1"),
        (("search", "starter", *TEAM, "--solutions", "0"), "--solutions 0"),
        (("search", "starter", *TEAM, "--reward-model", "none"), "unknown reward model"),
        (("evaluate", "nowhere"), "nowhere"),
        (("evaluate", "nowhere", "--answer", "agrement"), "Did you mean 'agreement'"),
        (("judge", "starter/train/badge/0", "missing.py"), "missing.py"),
        (("judge", "nothing/0", "missing.py"), "--set"),
        (("judge", "starter/train/badge/0", "empty.jsonl", "--tests", "secret"), "secret"),
        (("env", "mars2/Nothing-v0"), "mars2/Starter-v0"),
        (("problems", "show", "add/0"), "--set FILE"),
        (("problems", "show", "mine.jsonl"), "cannot read the problem file mine.jsonl"),
    ],
    ids=str,
)
def test_mistakes_get_one_clear_sentence_and_no_traceback(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").touch()
    done = mars2(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_missing_engine_is_one_sentence_that_says_what_to_do() -> None:
    nowhere = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    done = mars2("search", *PROBLEMS, *TEAM, "--sandbox", "docker", env=nowhere)
    assert done.returncode == 2
    assert "Docker" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["", "search", "evaluate", "judge", "env", "problems", "sandbox"])
def test_help_teaches(command: str) -> None:
    done = mars2(*command.split(), "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout
