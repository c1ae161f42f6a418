"""Every algorithm by the trainer itself, by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from mars2_agents.algorithms.named import ALGORITHMS, recipe  # noqa: E402
from mars2_agents.algorithms.shared_solutions import with_shared_solutions  # noqa: E402
from tiny_students import problem, student, task, training  # noqa: E402

from mars2_env import ProblemSet  # noqa: E402

torch.set_num_threads(1)

OF_ONE_AGENT = ("grpo", "rs2")
OF_ONE_POLICY = (*OF_ONE_AGENT, "homogeneous", "rejection")


@pytest.mark.parametrize("name", [name for name in ALGORITHMS.names() if ALGORITHMS.owns(name)])
def test_an_algorithm_is_trained_by_its_name(name: str, tmp_path: Path) -> None:
    made = recipe(name)
    known = ProblemSet(
        "sums", tuple(replace(problem(n), reference=f"print({n % 4})\n") for n in range(6)), split="train"
    )
    agents = ["coder"] if name in OF_ONE_AGENT else ["coder", "fixer"]
    played = task(agents=agents, **{**made.task, "budget": 6, "problems": known})
    team = {agent: "a" if name in OF_ONE_POLICY else "ab"[place] for place, agent in enumerate(played.agents)}
    run = training(
        tmp_path,
        task=played,
        team=team,
        students={policy: student(place) for place, policy in enumerate(dict.fromkeys(team.values()))},
        algorithm=made(),
        held_out=None,
        settings={"steps": 3, "problems": 4, "batch": 4},
    )
    with run:
        reports = list(run)
    made_updates = [one for report in reports for of_policy in report.updates.values() for one in of_policy]
    assert all(version > 0 for version in reports[-1].versions.values())
    assert all(0 < one.grad_norm < float("inf") for one in made_updates if one.updates)


def test_shared_solutions_reach_the_buffers_of_a_training(tmp_path: Path) -> None:
    given = []
    mars2 = recipe("heterogeneous")()
    for place, algorithm in (("plain", mars2), ("shared", with_shared_solutions(mars2))):
        with training(tmp_path / place, algorithm=algorithm, held_out=None, settings={"steps": 1}) as run:
            (report,) = run
        given.append(sum(count.given for count in report.counts.values()))
    assert given[1] > given[0]
