"""Training at a service by Tinker's protocol: gradients, updates and resumes are those of a learner here."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from mars2_agents.algorithms.lesson import Scores  # noqa: E402
from mars2_agents.learners import losses  # noqa: E402
from mars2_agents.learners.adapting import lora  # noqa: E402
from mars2_agents.learners.learner import Learner, Optimising  # noqa: E402
from mars2_agents.learners.statistics import derivative  # noqa: E402
from mars2_agents.learners.tinker import TinkerLearner, begin  # noqa: E402
from mars2_agents.learners.updating import scores_of, update  # noqa: E402
from small_learners import BATCH, LONGER, check_same, gradients, gspo, model, sample  # noqa: E402
from tinker_service import TYPES, ServiceClient  # noqa: E402

from mars2_env import ConfigError, LogError  # noqa: E402
from mars2_env.errors import ExtraError, PolicyUnavailableError  # noqa: E402

SETTINGS = Optimising(lr=1e-3, warmup=2, decay_updates=9, weight_decay=0.1, grad_norm=0.5)
INSTALLED = find_spec("tinker") is not None


@pytest.fixture(params=["stand-in", "tinker"])
def types(request: pytest.FixtureRequest) -> Any:
    """The classes of requests: ours, and where it is installed the package's own."""
    return TYPES if request.param == "stand-in" else pytest.importorskip("tinker.types")


def at_service(types: Any = TYPES, *, reference: bool = False) -> tuple[TinkerLearner, ServiceClient]:
    service = ServiceClient()
    return begin(service, "tiny", SETTINGS, rank=4, reference=reference, types=types), service


def here() -> Learner:
    return Learner(lora(model(), rank=4, alpha=4), SETTINGS)


def with_kl(scores: Scores) -> Any:
    assert scores.reference is not None
    kl = losses.reduced(losses.kl(scores.logprob, scores.reference, scores.mask), scores.mask, "token_mean")
    return gspo(scores) + 0.1 * kl


def test_scores_are_those_of_a_learner_here(types: Any) -> None:
    learner, _ = at_service(types, reference=True)
    for method in ("score", "score_reference"):
        pairs = zip(getattr(learner, method)(LONGER), getattr(here(), method)(LONGER), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert [len(one) for one in learner.score([sample((1,), (), 0.0)])] == [0]


def test_the_gradient_is_that_of_a_learner_here(types: Any) -> None:
    (learner, service), local = at_service(types, reference=True), here()
    for _ in range(2):  # the second time the adapter does something
        for one in (learner, local):
            scores = scores_of(LONGER, one.score(LONGER), reference=one.score_reference(LONGER))
            _, weights = derivative(with_kl, scores)
            cut = [row[: len(some.completion_ids)] for row, some in zip(weights, LONGER, strict=True)]
            one.backward(LONGER[:3], cut[:3])
            one.backward(LONGER[3:], cut[3:])
        check_same(gradients(service.clients[0].net), gradients(local.model))
        assert learner.step().grad_norm == pytest.approx(local.step().grad_norm, rel=1e-5)


def test_updates_are_those_of_a_learner_here() -> None:
    (learner, service), local = at_service(reference=True), here()
    batch = [replace(one, temperature=1.0) for one in BATCH]
    for epochs in (1, 2):
        found, wanted = (update(one, batch, with_kl, reference=True, epochs=epochs) for one in (learner, local))
        assert (found.version, found.updates, found.lr) == (wanted.version, wanted.updates, wanted.lr)
        assert found.loss == pytest.approx(wanted.loss, abs=1e-5)
        assert found.seen.kl_reference == pytest.approx(wanted.seen.kl_reference, abs=1e-6)
    trained = {name: one for name, one in local.model.named_parameters() if one.requires_grad}
    theirs = {name: one for name, one in service.clients[0].net.named_parameters() if one.requires_grad}
    check_same(theirs, trained, atol=1e-5)


def test_a_resumed_learner_makes_the_next_update_as_it_would_have_been(tmp_path: Path) -> None:
    learner, service = at_service()
    batch = [replace(one, temperature=1.0) for one in BATCH]
    update(learner, batch, gspo, epochs=2)
    learner.save(tmp_path / "kept")
    wanted = update(learner, batch, gspo)
    again = begin(service, "tiny", SETTINGS, rank=4, types=TYPES)
    again.load(tmp_path / "kept")
    assert again.version == 2 and update(again, batch, gspo) == wanted
    assert {file.suffix for file in (tmp_path / "kept").iterdir()} == {".json"}


def test_each_policy_has_a_client_of_its_own() -> None:
    service = ServiceClient()
    first, second = (begin(service, "tiny", SETTINGS, rank=4, types=TYPES) for _ in range(2))
    before = second.score(LONGER)
    update(first, LONGER, gspo)
    assert [one.calls for one in service.clients] == [["pass", "pass", "step"], ["pass"]]
    assert all(torch.equal(one, other) for one, other in zip(second.score(LONGER), before, strict=True))


def test_weights_are_exported_as_an_address_once_a_version(tmp_path: Path) -> None:
    learner, service = at_service()
    first = learner.export(tmp_path / "coder")
    assert first.path == "tinker://run-0/sampler_weights/coder-00000000" and first.path in service.kept
    assert (first.version, first.adapter) == (0, True) and not any(tmp_path.iterdir())
    assert learner.export(tmp_path / "coder") == first
    learner.save(tmp_path / "one")
    learner.save(tmp_path / "two")  # the state is kept once, and both folders know where
    assert (tmp_path / "one" / "learner.json").read_text() == (tmp_path / "two" / "learner.json").read_text()
    update(learner, LONGER, gspo)
    assert learner.export(tmp_path / "coder").path.endswith("coder-00000001")


def test_a_temperature_that_the_service_cannot_score_at_is_refused() -> None:
    learner, _ = at_service()
    with pytest.raises(ConfigError, match="sample at 1"):
        update(learner, BATCH, gspo)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    learner, service = at_service()
    with pytest.raises(ConfigError, match="no reference"):
        learner.score_reference(LONGER)
    with pytest.raises(LogError, match="says nothing of a state"):
        learner.load(tmp_path)
    with pytest.raises(ConfigError, match="service="):
        TinkerLearner(service.clients[0], types=TYPES).load(tmp_path)
    with pytest.raises(ConfigError, match="1 weights for 7 samples"):
        learner.backward(LONGER, [torch.ones(1)])
    with pytest.raises(ConfigError, match="no prompt token"):
        learner.score([sample((), (1,), 1.0)])


@pytest.mark.skipif(INSTALLED, reason="tinker is installed")
def test_without_the_package_it_is_said_how_to_get_it() -> None:
    with pytest.raises(ExtraError, match=r"mars2-env\[tinker\]"):
        TinkerLearner(ServiceClient().create_lora_training_client("tiny").result())


class Gone:
    """A client whose every answer is an error, or does not come."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def forward(self, data: list[Any], loss_fn: str) -> Future[Any]:
        future: Future[Any] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        return future


@pytest.mark.parametrize(
    ("error", "what"), [(None, "did not answer within 0.01 s"), (RuntimeError("no money"), "RuntimeError: no money")]
)
def test_a_service_that_fails_or_is_silent_is_unavailable(error: Exception | None, what: str) -> None:
    client: Any = Gone(error)
    learner = TinkerLearner(client, types=TYPES, patience=0.01)
    with pytest.raises(PolicyUnavailableError, match=what):
        learner.score(LONGER)
