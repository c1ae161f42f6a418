"""Teams and tasks in a TOML file: every key does what the argument of its name does, and what is wrong is named."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from toys import Guesser

import mars2_env
from mars2_env import ConfigError, Limits, load_config
from mars2_env.config import _ELSEWHERE, AgentTable, ProblemsTable, RolloutTable, TaskTable
from mars2_env.tasks import TaskOptions

FULL = """
[problems]
set = "starter"
split = "test"
ids = ["starter/test/badge/0"]
limit = 1

[task]
preset = "tplus"
game = "write"
api = "aec"
budget = {nodes = 6, agents = {coder_0 = {nodes = 2}}}
selector = "uct,samples=3"
prompts = "reasoning,max_tokens=4096"
score = "fraction"
score_on = "public"
reward = "score"
share = "team"
observe = "own"
stop_on_solved = 2
patience = 5
model_weight = 0.0
max_faults = 4
on_fault = "raise"
sandbox = "docker"
strict_types = true
render_mode = "ansi"
out = "environments"

[task.limits]
cpu_seconds = 2
wall_seconds = 20.0

[agents]
fixer = 'noise:weak,boundary=0.25'

[agents.coder]
policy = "noise:default"
role = "You write, \\"first\\"."
repair = 0.5
slip = 0

[rollout]
seed = 3
trees = 2
in_flight = 4
batch = 5
policy_retries = 0
policy_failures = 9
deadline = 60
out = "runs/x"
"""


def written(folder: Path, text: str, name: str = "team.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_reaches_the_task_the_team_and_the_run(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, FULL))
    task = config.task(sandbox="auto")
    assert (task.problems.name, task.problems.split) == ("starter", "test")
    assert task.agents == {"fixer_0": "", "coder_0": 'You write, "first".'}
    assert task.budget.config() == {"nodes": 6, "agents": {"coder_0": {"nodes": 2}}}
    assert task.selector == mars2_env.task("starter", selector="uct,samples=3").selector
    assert (task.prompts.max_tokens, task.prompts.feedback) == (4096, True)
    rules = task.rules
    assert (rules.score, rules.score_on, rules.observe, rules.stop_on_solved) == ("fraction", "public", "own", 2)
    assert (rules.patience, rules.max_faults, rules.model_weight) == (5, 4, 0.0)
    assert (task.reward, task.share, task.on_fault, task.api, task.render_mode) == (
        "score",
        "team",
        "raise",
        "aec",
        "ansi",
    )
    assert task.limits == Limits(cpu_seconds=2, wall_seconds=20)
    assert task.strict_types is True
    assert task.out == str(tmp_path / "environments")
    assert config.team == {"fixer_0": "noise:weak,boundary=0.25", "coder_0": "noise:default,repair=0.5,slip=0"}
    assert config.run == {
        "seed": 3,
        "trees": 2,
        "in_flight": 4,
        "batch": 5,
        "policy_retries": 0,
        "policy_failures": 9,
        "deadline": 60.0,
        "out": str(tmp_path / "runs/x"),
        "problems": ["starter/test/badge/0"],
        "limit": 1,
    }
    assert config.task().sandbox == "docker"


def test_every_option_of_a_task_and_of_rollout_can_be_said_or_is_told_where_to_say() -> None:
    table = {one.name for one in fields(TaskTable)}
    assert table | set(_ELSEWHERE) == set(TaskOptions.__annotations__)
    assert not table & set(_ELSEWHERE)
    every = tomllib.loads(FULL)
    of_other_games = {"cards", "generators", "generators_observe", "rounds"}
    assert table - set(every["task"]) == {"reward_model", *of_other_games}
    assert {one.name for one in fields(RolloutTable)} == set(every["rollout"])
    assert {one.name for one in fields(ProblemsTable)} - set(every["problems"]) == {"path", "options"}


def test_the_short_forms_are_the_long_ones(tmp_path: Path) -> None:
    short = load_config(written(tmp_path, 'problems = "starter"\n[agents]\ncoder = "noise:default"\n'))
    assert short.problems == ProblemsTable(set="starter")
    assert short.agents == {"coder_0": AgentTable("noise:default")}
    assert short.run == {}
    assert short.task() == mars2_env.task("starter", agents=["coder"])


@pytest.mark.parametrize("text", [FULL, 'problems = "starter"\n[agents.coder]\nrole = "a\\u007f\\n\\tb ü"\n'])
def test_what_is_written_out_is_read_back_as_it_was(text: str, tmp_path: Path) -> None:
    config = load_config(written(tmp_path, text))
    again = load_config(written(tmp_path / "elsewhere", config.to_toml()))
    assert (again.problems, again.task_table, again.agents, again.rollout) == (
        config.problems,
        config.task_table,
        config.agents,
        config.rollout,
    )


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
    [problems]
    set = "toys.jsonl"
    split = "train"
    [agents]
    one = "replay:banks/a"
    two = "hf:./model,temperature=0.5"
    three = "hf:org/name"
    four = "noise:default"
    five = "replay:/banks/b"
    [task]
    generators = ["replay:../c"]
    [rollout]
    out = "../runs/x"
    """
    file = written(tmp_path / "here", text)
    for folder, name in ((tmp_path, "here/team.toml"), (file.parent, "team.toml"), (Path("/"), str(file))):
        monkeypatch.chdir(folder)
        config = load_config(name)
        assert config.problems.set == str(file.parent / "toys.jsonl")
        assert list(config.team.values()) == [
            f"replay:{file.parent}/banks/a",
            f"hf:{file.parent}/model,temperature=0.5",
            "hf:org/name",
            "noise:default",
            "replay:/banks/b",
        ]
        assert config.task_table.generators == [f"replay:{tmp_path}/c"]
        assert config.run["out"] == str(tmp_path / "runs/x")


def test_values_of_options_are_texts_numbers_switches_and_lists(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def build(rest: str, *, problems: Any, **options: str) -> Guesser:
        seen.update(options)
        return Guesser()

    mars2_env.register_policy("seeing")(build)
    text = """
    problems = "starter"
    [agents.coder]
    policy = "seeing:x@http://host:8000/v1"
    system = "Be brief, please.\\nSay \\"yes\\"."
    temperature = 0.5
    tries = 3
    warm = true
    priors = [0.2, 0.6]
    """
    config = load_config(written(tmp_path, text))
    mars2_env.tasks.policies.make_policy(config.team["coder_0"])
    assert seen == {
        "system": 'Be brief, please.\nSay "yes".',
        "temperature": "0.5",
        "tries": "3",
        "warm": "true",
        "priors": "0.2/0.6",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("problem = 3", "problem=3: unknown key 'problem'. Did you mean 'problems'? Known: agents, problems"),
        ("[task]\nbuget = 3", "task.buget=3: unknown key 'buget'. Did you mean 'budget'"),
        ("[task]\nstop_when = 3", "task.stop_when=3: it is a function: give it in Python"),
        ('[task]\nproblems = "starter"', "task.problems='starter': say problems = \"NAME\" at the top"),
        ('[task]\nagents = ["a"]', "task.agents=['a']: say them in [agents]"),
        ("[task]\nselector = 3", "task.selector=3: a text is needed"),
        ("[task]\npatience = 1.5", "task.patience=1.5: a whole number is needed"),
        ("[task]\nmax_faults = true", "task.max_faults=True: a whole number is needed"),
        ('[task]\nscore = "pas"', "task.score='pas': unknown value 'pas'. Did you mean 'pass'? Known: fraction, pass"),
        ('[task]\ngame = "chess"', "task.game='chess': unknown value 'chess'"),
        ("[task.limits]\ncpu = 3", "task.limits.cpu=3: unknown key 'cpu'. Known: cpu_seconds"),
        ("[task.limits]\ncpu_seconds = -1", "task.limits.cpu_seconds=-1"),
        ('[task.limits]\ncpu_seconds = "3"', "task.limits.cpu_seconds='3': a number is needed"),
        ("task = 3", "task=3: a table is needed"),
        ("[problems]\nlimits = 3", "problems.limits=3: unknown key 'limits'. Did you mean 'limit'"),
        ('[problems]\nids = "a"', "problems.ids='a': a list of texts is needed; write [\"a\"]."),
        ("[rollout]\nsede = 3", "rollout.sede=3: unknown key 'sede'. Did you mean 'seed'"),
        ('[rollout]\nseed = "3"', "rollout.seed='3': a whole number is needed"),
        ("agents = 3", "agents=3: a table from name to policy is needed"),
        ("[agents]\ncoder = 3", 'agents.coder=3: a policy such as "noise:default"'),
        ('[agents]\ncoder = "nose:default"', "agents.coder.policy='nose:default': unknown policy 'nose'. Did you mean"),
        ('[agents]\ncoder = "noise:default,repair"', "agents.coder.policy: policy 'noise:default,repair'"),
        ("[agents.coder]\npolicy = 3", "agents.coder.policy=3: a text is needed"),
        ("[agents.coder]\nrole = 3", "agents.coder.role=3: a text is needed"),
        ("[agents.coder]\ntemperature = 3", "agents.coder.temperature=3: it is an option of a policy"),
        ('[agents.coder]\npolicy = "noise,slip=1"\nslip = 0', "agents.coder.slip=0: the policy 'noise,slip=1' says it"),
        ('[agents.coder]\npolicy = "noise"\nslip = 1979-05-27', "agents.coder.slip=datetime.date(1979, 5, 27): a text"),
        ('[agents]\nCoder = "noise"', "agents: agent name 'Coder'"),
        ("[rollout]\ntrees = 0", "rollout.trees=0: must be a whole number of at least 1"),
        ("[rollout]\nseed = -1", "rollout.seed=-1: must be a whole number of at least 0"),
        ("[rollout]\ndeadline = -1", "rollout.deadline=-1.0: must be a finite number above 0"),
        ("[rollout]\ndeadline = nan", "rollout.deadline=nan: must be"),
        ("[problems]\nlimit = -1", "problems.limit=-1: must be a whole number of at least 1"),
        ("[problems]\nids = []", "problems.ids=(): nothing would be played"),
        ('[agents.coder]\npolicy = "noise"\nrepair = nan', "agents.coder.repair=nan: a finite number is needed"),
        ('[agents]\ncoder = "noise"\ncoder_0 = "noise"', "agents: coder is short for coder_0, which is there too"),
        ("a =", "is not TOML: Invalid value (at "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_key_value_and_what_is_known(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_config(file)
    said = str(raised.value)
    assert said.startswith(str(file))
    assert message in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[task]\nbudget = 3", 'no problem set; say problems = "NAME"'),
        ('problems = "startr"', "unknown environment or problem set 'startr'. Did you mean 'starter'"),
        ('problems = "starter"\n[task]\nbudget = "x=1"', "task.budget: unknown resource in budget"),
        ('[problems]\nset = "starter"\nids = ["x"]', "problems.ids: unknown problem of 'starter' 'x'"),
        ('problems = "starter"\n[task]\nselector = "utc"', "task.selector: unknown selector 'utc'"),
        ('problems = "starter"\n[task]\nbudget = "coder_0.nodes=3,nodes=4"\n[agents]\ncodex = "noise"', "'coder_0'"),
        ('problems = "starter"\n[task]\nprompts = "chat,fixer_0=base"\n[agents]\ncoder = "noise"', "'fixer_0'"),
        ('problems = "starter"\n[task]\ngame = "place"\ngenerators = "noise"\n[agents]\na = "noise"', "say the same"),
    ],
)
def test_what_makes_no_task_is_said_with_the_file(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    config = load_config(file)
    with pytest.raises(mars2_env.Mars2Error) as raised:
        config.task()
    said = str(raised.value)
    assert said.startswith(f"{file}: ")
    assert message in said


def test_an_agent_without_a_policy_and_a_file_without_agents_have_no_team(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"team.toml: agents.coder_0: no policy"):
        load_config(written(tmp_path, '[agents.coder]\nrole = "x"')).team  # noqa: B018
    with pytest.raises(ConfigError, match=r"team.toml: no agents"):
        load_config(written(tmp_path, 'problems = "starter"')).team  # noqa: B018


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: No such file"):
        load_config(tmp_path / "nowhere.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"bytes.toml is not UTF-8"):
        load_config(tmp_path / "bytes.toml")


def test_where_generators_write_the_policies_of_agents_are_these(tmp_path: Path) -> None:
    text = 'problems = "starter"\n[task]\ngame = "place"\n[agents]\na = "noise:weak"\nb = "noise:default"\n'
    config = load_config(written(tmp_path, text))
    assert config.task().generators == {"a_0": "noise:weak", "b_0": "noise:default"}
    given = text.replace('"noise:weak"', "{}").replace('"noise:default"', "{}")
    given = given.replace('game = "place"', 'game = "place"\ngenerators = "noise:perfect"')
    assert load_config(written(tmp_path, given)).task().generators == "noise:perfect"


@pytest.mark.parametrize(
    ("option", "says"),
    [("temprature = 1", "Did you mean 'temperature'"), ('temperature = "hot"', "temperature='hot' is not a number")],
)
def test_an_option_that_a_policy_does_not_take_is_said_with_file_and_agent(
    option: str, says: str, tmp_path: Path
) -> None:
    @mars2_env.register_policy(f"picky{len(option)}")
    def build(rest: str, *, problems: Any = None, temperature: float = 1.0) -> Any:
        raise AssertionError("a file is read without building its policies")

    with pytest.raises(ConfigError, match=rf"team.toml: agents.coder: policy 'picky\d+': .*{says}"):
        load_config(written(tmp_path, f'[agents.coder]\npolicy = "picky{len(option)}:x"\n{option}'))


def test_an_option_that_a_policy_does_not_take_is_said_with_its_agent(tmp_path: Path) -> None:
    task = mars2_env.task("starter", agents=["fixer"])
    with pytest.raises(ConfigError, match=r"the policy of fixer_0: unknown option of noise 'reapir'. Did you mean"):
        mars2_env.rollout(task, {"fixer_0": "noise,reapir=0.5"})


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ('policy = "noise"\nreapir = 0.5', "agents.coder: unknown option of noise 'reapir'. Did you mean 'repair'?"),
        ('policy = "noise:defalt"', "agents.coder: unknown profile of the simulated policy 'defalt'. Did you mean"),
        ('policy = "noise"\nrepair = "often"', "agents.coder: noise option repair='often': not a number."),
        ('policy = "noise"\nrepair = 2', "agents.coder.repair=2.0: must be a probability, from 0 to 1."),
        ('policy = "noise,boundary=7"', "agents.coder.boundary=7.0: must be a probability, from 0 to 1."),
        ('policy = "hf:smollm2"\nheat = 1', "agents.coder: unknown option of hf 'heat'."),
        ('policy = "hf:smollm2"\ntemperature = "warm"', "agents.coder: hf option temperature='warm': not a number."),
        ('policy = "hf:smollm2"\ntop_p = 1.5', "agents.coder.top_p=1.5: must be above 0 and at most 1."),
        ('policy = "vllm:smollm2"\ntop_p = 1.5', "agents.coder.top_p=1.5: must be a finite number above 0 and of at "),
        ('policy = "openai:x"\ntemperature = -1', "agents.coder.temperature=-1.0: must be a finite number of at least"),
    ],
)
def test_an_option_of_the_librarys_own_policies_is_said_with_file_and_key_as_the_file_is_read(
    agent: str, says: str, tmp_path: Path
) -> None:
    file = written(tmp_path, f'problems = "starter"\n[agents.coder]\n{agent}')
    with pytest.raises(ConfigError) as raised:
        load_config(file)
    assert f"{file}: {says}" in str(raised.value)


@pytest.mark.parametrize("path", [None, 3, ""])
def test_what_is_no_path_is_no_file(path: Any) -> None:
    with pytest.raises(ConfigError, match="give the path of a TOML file"):
        load_config(path)
