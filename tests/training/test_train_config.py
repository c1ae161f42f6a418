"""A training in a TOML file: every key does what the field of its name does, and what is wrong is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("transformers", reason="needs the extra train")

from mars2_agents.learners.learner import Optimising
from mars2_agents.training.building import sampler_spec
from mars2_agents.training.config import find_training, load_training, shipped
from mars2_agents.training.settings import Settings
from mars2_agents.training.tables import HeldOutTable, PolicyTable, RunTable

from mars2_env import ConfigError
from mars2_env.config import Reader

FULL = """
problems = "starter"

[task]
budget = 8
score = "fraction"

[agents]
coder = "strong"

[agents.fixer]
policy = "weak"
role = "You mend."

[policies.strong]
model = "hf:./models/strong"
sampler = "vllm:./models/strong,max_num_seqs=4"
sampling = { max_new_tokens = 64, temperature = 0.9, stop = ["END"] }
train = "lora"
rank = 12
alpha = 24
dropout = 0.1
targets = ["q_proj", "v_proj"]
dtype = "bfloat16"
device = "cpu"
batch = 32
optimiser = { lr = 3e-4 }

[policies.weak]
model = "hf:org/weak"
train = "full"
reference = true

[algorithm]
name = "heterogeneous"
gamma = 0.25
scope = "agent_in_tree"
kl = ["k3", 0.001]

[optimiser]
lr = 1e-5
warmup = 3
tokens = 2048

[training]
steps = 7
problems = 2
batch = 16
filtering = ["none_solved"]
seed = 5
out = "runs/x"
metrics = ["jsonl", "tensorboard"]
threads = 1

[held_out]
split = "test"
limit = 3
every = 2
nodes = 4
at = [2, 4]
task = { selector = "uct" }
"""

SMALL = """
problems = "starter"
[task]
budget = 4
[agents]
coder = "one"
[policies.one]
model = "hf:smollm2"
[algorithm]
name = "rs2"
"""


def written(folder: Path, text: str, name: str = "train.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_reaches_what_it_is_about(tmp_path: Path) -> None:
    training = load_training(written(tmp_path, FULL))
    assert training.team == {"coder_0": "strong", "fixer_0": "weak"}
    task = training.task()
    assert (task.budget.nodes, task.rules.score, task.rules.score_on) == (8, "fraction", "scoring")
    assert task.agents == {"coder_0": "", "fixer_0": "You mend."}
    strong, weak = training.policies["strong"], training.policies["weak"]
    assert (strong.checkpoint, weak.checkpoint) == (str(tmp_path / "models/strong"), "org/weak")
    assert (strong.rank, strong.alpha, strong.dropout, strong.targets) == (12, 24.0, 0.1, ["q_proj", "v_proj"])
    assert (strong.dtype, strong.device, strong.batch, weak.train, weak.reference) == (
        "bfloat16",
        "cpu",
        32,
        "full",
        True,
    )
    assert training.optimising == {
        "strong": Optimising(lr=3e-4, warmup=3, tokens=2048),
        "weak": Optimising(lr=1e-5, warmup=3, tokens=2048),
    }
    assert training.settings == Settings(steps=7, problems=2, batch=16, filtering=("none_solved",), seed=5)
    assert (training.folder, training.run.metrics, training.run.threads) == (
        str(tmp_path / "runs/x"),
        ("jsonl", "tensorboard"),
        1,
    )
    held = training.held_out(task)
    assert held is not None
    assert (held.problems, held.limit, held.every, held.nodes, held.at) == ("test", 3, 2, 4, (2, 4))
    assert held.options == {"selector": "uct"}
    assert training.algorithm.name == "heterogeneous"
    assert training.algorithm.options == {"gamma": 0.25, "scope": "agent_in_tree", "kl": ["k3", 0.001]}
    assert callable(training.build_algorithm())


def test_a_sampler_is_told_how_to_sample_and_has_room_for_the_adapter(tmp_path: Path) -> None:
    training = load_training(written(tmp_path, FULL))
    spec = sampler_spec(Reader(training.file), training.policies["strong"], "policies.strong")
    place, *options = spec.split(",")
    assert place == f"vllm:{tmp_path / 'models/strong'}"
    assert sorted(options) == [
        "max_lora_rank=16",
        "max_loras=4",
        "max_new_tokens=64",
        "max_num_seqs=4",
        "stop=END",
        "temperature=0.9",
        "top_p=1.0",
    ]


def test_what_learns_is_sampled_from_its_whole_distribution_where_nothing_is_said(tmp_path: Path) -> None:
    policy = load_training(written(tmp_path, SMALL)).policies["one"]
    assert policy.sampled == {"temperature": 1.0, "top_p": 1.0}


def test_a_task_is_what_the_algorithm_is_meant_for_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    grpo = load_training(path, ["algorithm.name=grpo"])
    assert grpo.task().selector == load_training(path, ["task.selector=repeated_sampling"]).task().selector
    assert load_training(path, ["algorithm.name=grpo", "task.selector=uct"]).task().selector != grpo.task().selector


def test_problems_to_train_on_are_the_first_or_the_named_ones(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    task = load_training(path).task()
    ids = [problem.id for problem in task.problems]
    assert load_training(path).problems(task) is None
    assert load_training(path, ["problems.limit=2"]).problems(task) == ids[:2]
    named = load_training(path, [f'problems.ids=["{ids[3]}", "{ids[1]}"]'])
    assert named.problems(task) == [ids[3], ids[1]]


def test_another_set_can_be_held_out(tmp_path: Path) -> None:
    training = load_training(written(tmp_path, SMALL), ["held_out.set=starter", "held_out.split=test"])
    held = training.held_out(training.task())
    assert held is not None and held.problems.split == "test"  # type: ignore[union-attr]  # a set
    assert (held.every, held.nodes) == (10, 16)


@pytest.mark.parametrize("text", [FULL, SMALL])
def test_what_is_printed_is_read_back_as_it_was(text: str, tmp_path: Path) -> None:
    training = load_training(written(tmp_path, text))
    again = load_training(written(tmp_path / "elsewhere", training.to_toml()))
    for one in fields(training):
        if one.name not in ("file", "base", "said"):
            assert getattr(again, one.name) == getattr(training, one.name), one.name
    assert (again.base.problems, again.base.task_table, again.base.agents) == (
        training.base.problems,
        training.base.task_table,
        training.base.agents,
    )


def test_keys_of_the_command_line_come_before_the_files(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    training = load_training(
        path,
        [
            "training.steps=3",
            "problems.limit=2",
            "policies.strong.sampler=vllm:org/other",
            "policies.weak.optimiser.lr=1e-3",
            "held_out.at=[2]",
            "training.filtering=[]",
        ],
    )
    assert training.settings.steps == 3
    assert (training.base.problems.set, training.base.problems.limit) == ("starter", 2)
    assert training.policies["strong"].sampler == "vllm:org/other"
    assert training.optimising["weak"].lr == 1e-3
    assert training.held is not None and training.held.at == (2,)
    assert training.settings.filtering == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("trainin.steps=3", "trainin={'steps': 3}: unknown key 'trainin'. Did you mean 'training'?"),
        ("rollout.seed=3", "how trees grow is said in [training]"),
        ("training.step=3", "training.step=3: unknown key 'step'. Did you mean 'steps'?"),
        ("training.steps=zero", "training.steps='zero': a whole number is needed"),
        ("training.steps=0", "training.steps=0: must be a whole number of at least 1"),
        ("training.metrics=['tensorbord']", "unknown value 'tensorbord'. Did you mean 'tensorboard'? Known: jsonl"),
        ("training.metrics=jsonl", "training.metrics='jsonl': a list of names among jsonl, tensorboard, trackio is"),
        ("training.filtering=['all_solved', 'x']", "unknown value 'x'. Known: all_solved, none_solved."),
        ("training.filtering=all_solved", 'all_solved, none_solved is needed; write ["all_solved"].'),
        ("training.filtering=3", "training.filtering=3: a list of names among all_solved, none_solved is needed."),
        ("optimiser.betas=[0.9]", "optimiser.betas=[0.9]: a list of 2 numbers is needed."),
        ("policies.one.targets=3", "policies.one.targets=3: a text or a list of texts is needed."),
        ("held_out={split='test', at=['x']}", "held_out.at=['x']: a list of whole numbers is needed."),
        ("optimiser.learning_rate=1", "optimiser.learning_rate=1: unknown key 'learning_rate'"),
        ("optimiser.lr=-1", "optimiser.lr=-1.0: must be a finite number above 0"),
        ("policies.one.optimiser.lrr=1", "policies.one.optimiser.lrr=1: unknown key 'lrr'. Did you mean 'lr'?"),
        ("policies.one.modell=x", "policies.one.modell='x': unknown key 'modell'. Did you mean 'model'?"),
        ("policies.one.model=smollm2", "policies.one.model='smollm2': what is trained is hf:smollm2"),
        ("policies.one.train=fully", "policies.one.train='fully': unknown value 'fully'. Did you mean 'full'?"),
        ("policies.one.sampler=vlm:x", "policies.one.sampler='vlm:x': unknown policy 'vlm'. Did you mean 'vllm'?"),
        ("policies.one.sampling.temperature=0", "sampling.temperature=0: nothing can be learnt of greedy replies"),
        ("policies.one.sampling.top_p=0.95", "sampling.top_p=0.95: nothing can be learnt of what is not sampled"),
        ("policies.one.sampling.top_k=20", "sampling.top_k=20: nothing can be learnt"),
        ("policies.one.sampler='vllm:x,top_p=0.9'", "sampling.top_p='0.9': nothing can be learnt"),
        ("policies.one.sampler='vllm:x,max_new_tokens=0'", "one.sampling.max_new_tokens=0: must be a whole number"),
        ("policies.one.sampler='vllm:x,max_tokens=3'", "unexpected keyword argument 'max_tokens'. Did you mean"),
        ("policies.one.sampling.max_tokens=9", "sampling.max_tokens=9: unknown key 'max_tokens'"),
        ("policies.one={model='hf:x', train='none'}", 'each has train = "none", so there is nothing to train.'),
        ("policies.one={train='none'}", "policies.one: no model; say which is trained"),
        ("policies.one={sampler='noise', train='none', rank=3}", "policies.one.rank=3: it says how a policy learns"),
        ("policies.one={sampler='noise:x', train='none'}", "unknown profile of the simulated policy 'x'"),
        ("policies.two.model=hf:x", "policies.two: no agent has it"),
        ("agents.coder=on", "agents.coder.policy='on': unknown policy 'on'. Did you mean 'one'?"),
        ("agents.coder={role='You write.'}", 'agents.coder_0: no policy; say policy = "one"'),
        ("algorithm.name=rs3", "algorithm.name='rs3': unknown algorithm 'rs3'. Did you mean 'rs2'?"),
        ("algorithm.gama=1", "algorithm.gama=1: unknown key 'gama'. Did you mean 'gamma'?"),
        ("algorithm.gamma=-1", "algorithm.gamma=-1.0: must be a finite number of at least 0."),
        ("algorithm.surrogate=x", "algorithm.surrogate='x' is not one of gspo, grpo, dr_grpo, "),
        ("algorithm.kl=x", "algorithm.kl='x' is not a list of one of k1, k2, k3 and a number or a number or none."),
        ("algorithm={name='mars2_plus', max_length=9}", "algorithm.max_length=9: must be at least the buffer, 2048"),
        ("policies.one.rank=0", "policies.one.rank=0: must be a whole number of at least 1."),
        ("policies.one.batch=0", "policies.one.batch=0: must be a whole number of at least 1."),
        ("training.threads=0", "training.threads=0: must be a whole number of at least 1."),
        ("held_out={set='x'}", "held_out: unknown problem set 'x'."),
        ("held_out={split='test', nodes=0}", "held_out.nodes=0: must be a whole number of at least 1."),
        ("held_out.every=2", "held_out: say which problems"),
        ("task.selecter=uct", "task.selecter='uct': unknown key 'selecter'. Did you mean 'selector'?"),
    ],
)
def test_what_makes_no_sense_names_file_key_and_value_and_suggests(change: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    with pytest.raises(ConfigError) as raised:
        training = load_training(path, [change])
        training.build_algorithm()
        training.held_out(training.task())
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert said in message


@pytest.mark.parametrize("change", ["training", "training.=3", "problems.set.x=3"])
def test_a_change_that_is_none_is_an_error(change: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_training(written(tmp_path, SMALL), [change])


def test_a_file_without_policies_algorithm_or_folder_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no policies; say at least one, such as \[policies.strong\]"):
        load_training(written(tmp_path, 'problems = "starter"'))
    with pytest.raises(ConfigError, match="no name; say name = one of grpo, heterogeneous"):
        load_training(written(tmp_path, SMALL.partition("[algorithm]")[0]))
    with pytest.raises(ConfigError, match=r"training\.out: no folder"):
        _ = load_training(written(tmp_path, SMALL)).folder


def test_every_field_can_be_said_in_its_table() -> None:
    known: dict[str, Any] = {"training": {one.name for one in (*fields(Settings), *fields(RunTable))}}
    assert not {one.name for one in fields(Settings)} & {one.name for one in fields(RunTable)}
    documented = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    tables = {"policies.NAME": PolicyTable, "optimiser": Optimising, "held_out": HeldOutTable}
    known |= {name: {one.name for one in fields(kind)} for name, kind in tables.items()}
    for table, names in known.items():
        section = documented.partition(f"### `[{table}]`")[2].partition("\n#")[0]
        missing = [name for name in names if f"`{name}`" not in section]
        assert not missing, f"docs/train.md says nothing of {missing} in [{table}]"


@pytest.mark.parametrize("name", shipped())
def test_configurations_that_come_with_the_package_make_sense(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    training = find_training(name)
    task = training.task()
    assert task.rules.score_on == "scoring"
    assert callable(training.build_algorithm())
    assert training.held_out(task) is not None
    assert Path(training.folder).is_relative_to(tmp_path)


def test_a_name_that_is_no_file_and_comes_with_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"no such file, and unknown configuration .smollm2-lra.\. Did you mean"):
        find_training("smollm2-lra")
