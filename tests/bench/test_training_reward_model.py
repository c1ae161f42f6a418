"""The benchmark of reward models: nothing that is reported was learned from or chosen by, and it runs to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="needs the extra transformers")

from mars2_agents.models.reward_model import load_reward_model
from mars2_bench import training_reward_model as bench


def test_problems_are_learned_from_or_calibrate_or_choose_or_are_reported_and_never_two_of_these() -> None:
    train = [one.id for one in bench.weak("train", 0, 50)]
    fresh = {one.id for one in bench.weak("test", 0, 50)}
    parts = [set(bench.chosen_of(train, kind)) for kind in (bench.LEARN, bench.CHOOSE, bench.CALIBRATE)]
    assert [len(part) for part in parts] == [120, 40, 40]
    assert len(set.union(*parts, fresh)) == 200 + len(fresh)
    assert not any(bench.template_of(one) in bench.LEFT_OUT for part in parts for one in part)
    assert len({bench.template_of(one) for one in fresh} & bench.LEFT_OUT) == 10
    assert all(len(one.public) == 1 for one in bench.weak("test", 0, 50))


def test_a_row_has_the_paired_difference_of_the_problems_it_is_about() -> None:
    base = bench.Arm("base", {"a": 0.0, "b": 1.0, "c": 0.0})
    other = bench.Arm("other", {"a": 1.0, "b": 1.0, "c": 0.0})
    assert base.row(base, ["a", "b"]) == "| base | 0.500 | | |"
    assert other.row(base, ["a", "b"]).startswith("| other | 1.000 | +0.500 [+0.000, +1.000] |")
    assert other.row(base, ["b", "c"]) == "| other | 0.500 | +0.000 [+0.000, +0.000] | 0.000 |"


@pytest.mark.slow
def test_the_quick_form_reports_on_fresh_problems_and_goes_on_from_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0
    first = capsys.readouterr()
    assert first.out.count("| the same trees, answer by 'pairwise, all' |") == 2  # templates that are known, and others
    (folder,) = (tmp_path / "models").iterdir()
    known = load_reward_model(folder, device="cpu").about.problems
    assert known
    assert all(one.startswith("starter/train/") and bench.variant_of(one) in "0124" for one in known)
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "step" not in again.err  # the model was there
