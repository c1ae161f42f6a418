"""Rows of a batch share forward passes and nothing else, and say how likely what they wrote was."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import isnan
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra transformers")

from mars2_agents.policies.sampling import (  # noqa: E402
    LIKELIEST,
    Completion,
    Request,
    Thinking,
    nucleus_sample,
    sample,
)

PROMPTS = [(1, 40, 41), (1, 50, 51, 52, 53, 54, 55, 56), (1,), (1, 60, 61, 62, 63)]


def requests(temperature: float = 0.8, top_p: float = 0.9, max_new_tokens: int = 20) -> list[Request]:
    return [Request(p, 100 + n, temperature, top_p, max_new_tokens) for n, p in enumerate(PROMPTS)]


def run(model: Any, asked: list[Request], eos_ids: frozenset[int] = frozenset({2})) -> list[Completion]:
    return sample(model, asked, eos_ids=eos_ids, pad_id=2)


def test_greedy_rows_of_a_batch_are_what_each_gives_alone(model: Any) -> None:
    asked = requests(temperature=0)
    assert [c.ids for c in run(model, asked)] == [run(model, [one])[0].ids for one in asked]


def test_greedy_is_what_transformers_own_generate_gives(model: Any) -> None:
    for prompt, completion in zip(PROMPTS, run(model, requests(temperature=0)), strict=True):
        ids = torch.tensor([prompt])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20)
        assert tuple(out[0, len(prompt) :].tolist()) == completion.ids


def test_a_sampled_row_does_not_depend_on_the_other_rows(model: Any) -> None:
    asked = requests()
    together = run(model, asked)
    assert [run(model, [one])[0].ids for one in asked] == [c.ids for c in together]
    assert [c.ids for c in run(model, asked[::-1])] == [c.ids for c in together[::-1]]


def test_rows_of_one_batch_keep_their_own_settings(model: Any) -> None:
    mixed = [
        replace(r, temperature=t, top_p=p) for r, t, p in zip(requests(), (0, 0.5, 1, 2), (1, 0.5, 1, 0.9), strict=True)
    ]
    assert [c.ids for c in run(model, mixed)] == [run(model, [one])[0].ids for one in mixed]


def test_the_seed_decides(model: Any) -> None:
    one = requests(temperature=1.0, top_p=1.0)[0]
    again = [run(model, [one])[0] for _ in range(2)]
    assert again[0] == again[1]
    assert len({run(model, [replace(one, seed=seed)])[0].ids for seed in range(5)}) == 5


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (0.8, 0.9), (1.5, 0.5)])
def test_log_probabilities_are_those_of_a_teacher_forced_pass(model: Any, temperature: float, top_p: float) -> None:
    asked = requests(temperature, top_p)
    for request, completion in zip(asked, run(model, asked), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([request.prompt + completion.ids])).logits[0].double()
        p = torch.softmax(logits[len(request.prompt) - 1 : -1] / temperature, dim=-1)
        ranked, order = p.sort(dim=-1, descending=True)
        nucleus = torch.zeros_like(p).scatter(-1, order, ((ranked.cumsum(-1) - ranked) < top_p).double()) * p
        nucleus /= nucleus.sum(-1, keepdim=True)
        chosen = nucleus.gather(-1, torch.tensor(completion.ids)[:, None])[:, 0].log()
        assert torch.allclose(chosen, torch.tensor(completion.logprobs).double(), atol=1e-4)


def test_greedy_has_no_choice_so_its_log_probabilities_are_zero(model: Any) -> None:
    assert all(value == 0 for c in run(model, requests(temperature=0)) for value in c.logprobs)


def test_a_row_ends_with_its_ending_token_or_at_its_limit(model: Any) -> None:
    free = run(model, requests(), frozenset())
    assert [c.finish_reason for c in free] == ["length"] * 4
    assert [len(c.ids) for c in free] == [20] * 4
    ending = free[0].ids[4]
    ended = run(model, requests(), frozenset({ending}))
    for whole, cut in zip(free, ended, strict=True):
        length = whole.ids.index(ending) + 1 if ending in whole.ids else 20
        assert cut.ids == whole.ids[:length]
        assert cut.finish_reason == ("stop" if ending in whole.ids else "length")
        assert len(cut.logprobs) == length
    assert any(c.finish_reason == "stop" for c in ended)


def test_rows_have_their_own_limits(model: Any) -> None:
    asked = [replace(r, max_new_tokens=n) for r, n in zip(requests(), (1, 20, 5, 2), strict=True)]
    limited = run(model, asked, frozenset())
    assert [len(c.ids) for c in limited] == [1, 20, 5, 2]
    whole = run(model, requests(), frozenset())
    assert all(w.ids[: len(c.ids)] == c.ids for w, c in zip(whole, limited, strict=True))


def test_nothing_asked_is_nothing_sampled(model: Any) -> None:
    assert run(model, []) == []


def draw(logits: list[float], temperature: float, top_p: float, n: int) -> tuple[Any, Any]:
    rows = torch.tensor([logits]).expand(n, -1)
    uniform = (torch.arange(n) + 0.5) / n
    return nucleus_sample(rows, torch.full((n,), temperature), torch.full((n,), top_p), uniform)[:2]


def test_tokens_come_as_often_as_their_probability() -> None:
    p = torch.tensor([0.1, 0.6, 0.3])
    tokens, logprobs = draw(p.log().tolist(), 1.0, 1.0, 1000)
    assert Counter(tokens.tolist()) == {1: 600, 2: 300, 0: 100}
    assert torch.allclose(logprobs.float(), p.log()[tokens], atol=1e-5)


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    p = torch.tensor([0.1, 0.6, 0.3])
    assert set(draw(p.log().tolist(), 1.0, 0.59, 100)[0].tolist()) == {1}
    tokens, logprobs = draw(p.log().tolist(), 1.0, 0.61, 900)
    assert Counter(tokens.tolist()) == {1: 600, 2: 300}
    assert logprobs[0].exp().item() == pytest.approx(2 / 3, abs=1e-5)


def test_a_flat_distribution_over_a_large_vocabulary_is_sampled_whole() -> None:
    size = 4 * LIKELIEST
    tokens, logprobs = draw([0.0] * size, 1.0, 1.0, size)
    assert sorted(tokens.tolist()) == list(range(size))
    assert torch.allclose(logprobs.exp(), torch.full((size,), 1 / size, dtype=logprobs.dtype), rtol=1e-4)


def test_the_last_uniform_number_still_finds_a_token_of_the_nucleus() -> None:
    almost_one = torch.tensor([1 - 2**-24])
    logits = torch.tensor([[0.1, 0.6, 0.3]]).log()
    token, logprob, _ = nucleus_sample(logits, torch.ones(1), torch.tensor([0.8]), almost_one)
    assert token.item() == 2
    assert logprob.isfinite().all()


def test_waiting_rows_take_the_places_of_those_that_end_and_each_is_as_it_is_alone(model: Any) -> None:
    asked = [
        replace(r, prompt=r.prompt * (1 + n % 3), seed=n, max_new_tokens=3 + 5 * (n % 4))
        for n, r in enumerate(requests() * 3)
    ]
    widths: list[int] = []

    def forward(adapters: Any, inputs: Any) -> Any:
        widths.append(len(inputs["input_ids"]))
        return model(**inputs)

    done = sample(model, asked, eos_ids=frozenset(), pad_id=2, batch_size=4, forward=forward)
    assert [c.ids for c in done] == [run(model, [one], frozenset())[0].ids for one in asked]
    assert max(widths) == 4
    batch_after_batch = sum(sorted((one.max_new_tokens for one in asked), reverse=True)[::4])
    assert len([width for width in widths if width > 1]) < batch_after_batch + 3


@pytest.mark.parametrize(("top_p", "top_k"), [(1.0, 0), (0.9, 0), (1.0, 5), (0.7, 20)])
def test_kept_mass_makes_sampled_log_probabilities_those_of_the_whole_vocabulary(
    model: Any, top_p: float, top_k: int
) -> None:
    asked = [replace(one, top_k=top_k) for one in requests(0.8, top_p)]
    for request, completion in zip(asked, run(model, asked), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([request.prompt + completion.ids])).logits[0, len(request.prompt) - 1 : -1]
        tempered = torch.log_softmax(logits.double() / 0.8, dim=-1)
        chosen = tempered.gather(-1, torch.tensor(completion.ids)[:, None])[:, 0]
        kept = torch.tensor(completion.kept_mass).double()
        assert torch.allclose(torch.tensor(completion.logprobs).double() + kept.log(), chosen, atol=1e-4)
        assert bool((kept == 1).all()) == (top_p == 1 and top_k == 0)


def test_top_k_is_cut_before_the_nucleus() -> None:
    rows = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log().expand(100, -1)
    uniform = (torch.arange(100) + 0.5) / 100
    token, _, kept = nucleus_sample(rows, torch.ones(100), torch.full((100,), 0.5), uniform, torch.full((100,), 2))
    assert set(token.tolist()) == {0}  # 0.4 of 0.7 reaches the half; of the whole it would not
    assert kept.tolist() == pytest.approx([0.4] * 100)


def test_rare_tokens_of_a_large_vocabulary_are_found_where_nothing_is_cut() -> None:
    size = 4 * LIKELIEST
    uniform = torch.tensor([0.1, 0.9])
    tokens, logprobs, kept = nucleus_sample(torch.zeros(2, size), torch.ones(2), torch.ones(2), uniform)
    assert len(set(tokens.tolist())) == 2
    assert logprobs.exp().tolist() == pytest.approx([1 / size] * 2, rel=1e-4)
    assert kept.tolist() == [1, 1]


def test_thinking_that_does_not_end_is_closed_and_the_tokens_that_close_it_are_marked(model: Any) -> None:
    asked = [replace(r, thinking=Thinking(6, (7, 8)), max_new_tokens=12) for r in requests()]
    plain = run(model, requests(), frozenset())
    for free, done in zip(plain, run(model, asked, frozenset()), strict=True):
        assert done.ids[:8] == (*free.ids[:6], 7, 8)
        assert [isnan(value) for value in done.logprobs] == [False] * 6 + [True] * 2 + [False] * 4
        assert (done.thinking_tokens, done.thought, done.finish_reason) == (8, True, "length")


def test_thinking_that_ends_by_itself_is_left_alone(model: Any) -> None:
    free = run(model, requests(), frozenset())
    asked = [replace(r, thinking=Thinking(15, c.ids[4:6])) for r, c in zip(requests(), free, strict=True)]
    for whole, done in zip(free, run(model, asked, frozenset()), strict=True):
        assert done.ids == whole.ids
        assert done.thinking_tokens is not None and done.thinking_tokens <= 6


def test_a_reply_that_ends_in_its_thinking_has_no_answer(model: Any) -> None:
    asked = [replace(r, thinking=Thinking(18, (7,)), max_new_tokens=10) for r in requests()]
    for done in run(model, asked, frozenset()):
        assert (done.thinking_tokens, done.thought, done.finish_reason) == (10, False, "length")
