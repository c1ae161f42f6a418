"""The oracle knows how programs change, and plans by it; the open-loop search finds what a schedule can have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mars2_bench.suite.authors import fresh_masks, refined_masks
from mars2_bench.suite.named import Named, find
from mars2_bench.suite.open_loop import OpenLoop, best_open_loop, means, moves_of, shapes
from mars2_bench.suite.oracles import drafts, oracle, plan_of, refinements

IDS = ["Route-v1", "Relay-v1", "Commons-v1"]


def able_first() -> Named:
    """Route, but the first agent is always the able one."""
    named = find("Route-v1")
    return replace(named, team=replace(named.team, drawn="never"))


@pytest.mark.parametrize("id", IDS)
def test_chances_of_programs_are_those_by_which_authors_write(id: str) -> None:
    game = find(id).make_vec(1).trees.game
    rng, count, problem, role = np.random.default_rng(0), 20_000, 7, 0
    place = game.places[problem]
    fresh, mend, slip = game.chances[:, role, place]
    draws = rng.random((count, game.team.kinds.bits))
    masks = 1 << game.team.kinds.bits
    found = np.bincount(fresh_masks(draws, fresh[None].repeat(count, 0)), minlength=masks) / count
    assert np.abs(found - drafts(game)[problem, role]).max() < 0.02
    chances = refinements(game)[problem, role]
    assert chances.sum(1) == pytest.approx(1.0)
    for before in (0, 1, masks - 2, masks - 1):
        written = refined_masks(np.full(count, before), draws, mend[None], slip[None], game.team.kinds.staged)
        assert np.abs(np.bincount(written, minlength=masks) / count - chances[before]).max() < 0.02


@pytest.mark.parametrize("id", IDS)
def test_more_steps_are_worth_no_less_and_none_the_score(id: str) -> None:
    game = find(id).make_vec(1).trees.game
    plan = plan_of(game)
    assert (plan.worth[0] == game.scores[game.places]).all()
    assert (np.diff(plan.worth, axis=0) > -1e-12).all() and (np.diff(plan.nothing, axis=0) > -1e-12).all()
    assert plan.worth[-1].mean() > plan.worth[1].mean() > plan.worth[0].mean()


def test_the_last_expansion_goes_where_the_best_score_is_to_be_expected() -> None:
    vec = find("Route-v1").make_vec(40)
    observations, _ = vec.reset(seed=0)
    rng, trees, game = np.random.default_rng(0), vec.trees, vec.trees.game
    for _ in range(5):
        observations, *_ = vec.step(rng.integers(3, size=40) * 7 + rng.integers(trees.size))
    chosen = oracle(vec).act(observations, rng)
    refined, fresh = refinements(game), drafts(game)
    rows = {place: row for row, place in enumerate(game.places.tolist())}
    for tree in np.flatnonzero(~trees.over).tolist():
        problem, best = rows[int(trees.place[tree])], trees.best[tree, 0]
        kept = np.maximum(game.scores[trees.place[tree]], best)
        worth = np.full((3, 7), -1.0)
        for agent, role in enumerate(trees.roles[tree].tolist()):
            worth[agent, 0] = fresh[problem, role] @ kept
            for slot in range(1, int(trees.size[tree])):
                worth[agent, slot] = refined[problem, role, trees.mask[tree, slot]] @ kept
        assert worth.reshape(-1)[chosen[tree]] == pytest.approx(worth.max())


@pytest.mark.parametrize("id", [*IDS, "Scale4-v1"])
def test_a_schedule_names_only_slots_that_are_there(id: str) -> None:
    vec = find(id).make_vec(50, stop_on_solved=False)
    moves, rng = moves_of(vec.trees.game), np.random.default_rng(0)
    actions = moves.slots * len(moves.agents) if moves.route else moves.slots + moves.passes
    plans = moves.legal(rng.integers(actions, size=(50, moves.steps, moves.columns)))
    controller = OpenLoop(moves, plans)
    observations, _ = vec.reset(seed=0)
    over = np.zeros(50, np.bool_)
    for step in range(moves.steps):
        going = ~over
        chosen = controller.act(observations, rng)
        by_agent = {"": chosen} if moves.route else chosen
        seen = {"": observations} if moves.route else observations
        for column, (agent, taken) in enumerate(by_agent.items()):
            assert (taken == plans[:, step, column])[going].all()
            assert (seen[agent]["action_mask"][np.arange(50), taken] == 1)[going].all()
        observations, *_ = vec.step(chosen)
        over |= vec.trees.over
    assert over.all()


def test_the_search_gives_everything_to_the_agent_who_is_always_able() -> None:
    found = best_open_loop(able_first(), generations=1, width=16)
    assert (found.plans[0, :, 0] // found.moves.slots == 0).all()
    assert found.plans[0, 0, 0] == 0 and (found.plans[0, 1:, 0] > 0).any()


def test_the_search_finds_a_schedule_that_holds_its_own_on_trees_that_it_did_not_see() -> None:
    named = find("Relay-v1")
    found, seeds = best_open_loop(named, generations=1, width=32), list(range(50, 50 + 64))
    plain = means(named, found.moves, shapes(found.moves)[::7], seeds)
    assert means(named, found.moves, found.plans, seeds)[0] > max(plain.mean() + 0.1, plain.max() - 0.05)
