"""The gradient of a learner is that of the loss over the whole batch, however the batch goes through the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mars2_agents.algorithms.lesson import Loss, Scores  # noqa: E402
from mars2_agents.learners import losses  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402
from mars2_agents.learners.scoring import Scorer  # noqa: E402
from mars2_agents.learners.statistics import derivative  # noqa: E402
from mars2_agents.learners.updating import scores_of  # noqa: E402
from small_learners import LONGER, check_same, gradients, model, sample  # noqa: E402


def weights(s: Scores) -> Any:
    return losses.importance_weights(s.old, s.sampler, s.mask, level="token")


def with_kl(loss: Any, s: Scores) -> Any:
    assert s.reference is not None
    return loss + 0.1 * losses.reduced(losses.kl(s.logprob, s.reference, s.mask), s.mask, "token_mean")


def gspo(s: Scores) -> Any:
    return losses.gspo(s.logprob, s.old, s.advantage, s.mask, weights=weights(s))


def token(reduce: losses.Reduce) -> Loss:
    return lambda s: losses.token_ratio_loss(
        s.logprob, s.old, s.advantage, s.mask, reduce=reduce, length=8, weights=weights(s)
    )


LOSSES: dict[str, Loss] = {
    "gspo": gspo,
    "gspo with kl": lambda s: with_kl(gspo(s), s),
    "token mean": token("token_mean"),
    "sequence mean with kl": lambda s: with_kl(token("sequence_mean")(s), s),
    "constant": token("constant"),
}


def batch() -> Scores:
    """Scores of LONGER by the tiny model, with old, sampler and reference somewhat off."""
    now = Learner(model()).score(LONGER)
    drawn = torch.Generator().manual_seed(0)
    off = [[one + 0.1 * torch.randn(one.shape, generator=drawn) for one in now] for _ in range(3)]
    scores = scores_of(LONGER, off[0], reference=off[1])
    told = replace(scores, sampler=scores_of(LONGER, off[2]).old)
    return replace(told, logprob=scores_of(LONGER, now).logprob)


def padded(net: Any) -> Any:
    """Log-probs of LONGER by one pass over rows that are padded on the right, (sequences, tokens)."""
    whole = [torch.tensor([*one.prompt_ids, *one.completion_ids]) for one in LONGER]
    ids = torch.nn.utils.rnn.pad_sequence(whole, batch_first=True)
    attended = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in whole], batch_first=True)
    logp = net(input_ids=ids, attention_mask=attended).logits.float().log_softmax(-1)
    told = logp[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    found = [row[len(one.prompt_ids) - 1 :][: len(one.completion_ids)] for row, one in zip(told, LONGER, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(found, batch_first=True, padding_value=float("nan"))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_micro_batches_of_1_and_5_and_all_have_the_gradient_of_the_padded_batch(name: str, checkpointing: bool) -> None:
    scores = batch()
    direct = model()
    LOSSES[name](replace(scores, logprob=padded(direct))).backward()
    wanted = gradients(direct)
    assert max(float(one.abs().max()) for one in wanted.values()) > 1e-3
    _, weighted = derivative(LOSSES[name], scores)
    cut = [row[: len(one.completion_ids)] for row, one in zip(weighted, LONGER, strict=True)]
    for size in (1, 5, len(LONGER)):
        learner = Learner(model(), Optimising(checkpointing=checkpointing))
        for start in range(0, len(LONGER), size):
            places = slice(start, start + size)
            learner.backward(LONGER[places], cut[places])
        check_same(gradients(learner.model), wanted)


def test_the_empty_sequence_counts_in_the_mean_over_sequences() -> None:
    scores = batch()
    _, weighted = derivative(token("sequence_mean"), scores)
    kept = [place for place, one in enumerate(LONGER) if one.completion_ids]
    fewer = Scores(*(getattr(scores, name)[kept] for name in Scores.__slots__))
    _, without = derivative(token("sequence_mean"), fewer)
    torch.testing.assert_close(weighted[kept] * len(LONGER), without * len(kept))


def test_a_pass_holds_no_more_tokens_than_the_budget() -> None:
    rows: list[int] = []
    net = model()
    net.model.register_forward_pre_hook(
        lambda _, args, given: rows.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    learner = Learner(net, Optimising(tokens=12))
    learner.score(LONGER)
    assert rows == [6 + 6, 5 + 5 + 2, 14, 3]  # one is too long and goes alone
    rows.clear()
    learner.backward(LONGER, [torch.ones(len(one.completion_ids)) for one in LONGER])
    assert rows == [6 + 6, 5 + 5, 14, 3]  # the one without a completion has nothing to learn


def saved_bytes(act: Callable[[], Any]) -> int:
    """The bytes that a forward pass keeps for its backward pass, outside of checkpoints."""
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        act()
    return sum(kept.values())


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    found = []
    for checkpointing in (False, True):
        net = model(num_hidden_layers=4)
        Learner(net, Optimising(checkpointing=checkpointing))
        found.append(saved_bytes(lambda net=net: Scorer(net.train())(LONGER, 1.0)))
    assert found[1] < found[0] / 2


def test_products_in_bfloat16_have_nearly_the_gradient_and_leave_weights_in_float32() -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        learner = Learner(model(), Optimising(precision=precision, lr=1e-2))
        learner.backward(LONGER, [torch.full((len(one.completion_ids),), 0.1) for one in LONGER])
        found.append(gradients(learner.model))
        learner.step()
        assert {one.dtype for one in learner.model.parameters()} == {torch.float32}
    norm = sum(float(one.square().sum()) for one in found[0].values()) ** 0.5
    apart = sum(float((found[1][name] - one).square().sum()) for name, one in found[0].items()) ** 0.5
    assert 0 < apart < 0.03 * norm


def test_models_whose_head_is_their_embedding_have_the_gradient_of_both() -> None:
    direct = model(tie_word_embeddings=True)
    one = [sample((1, 2), (3, 4), 1.0)]
    direct(input_ids=torch.tensor([[1, 2, 3, 4]])).logits[0, 1:3].log_softmax(-1)[[0, 1], [3, 4]].sum().backward()
    learner = Learner(model(tie_word_embeddings=True))
    learner.backward(one, [torch.ones(2)])
    check_same(gradients(learner.model), gradients(direct), atol=1e-5)
