"""A service that speaks Tinker's protocol, with a tiny model behind it that it really trains."""

from __future__ import annotations

import copy
from concurrent.futures import Future
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from mars2_agents.learners.adapting import lora
from small_learners import model


@dataclass(frozen=True)
class ModelInput:
    tokens: tuple[int, ...]

    @classmethod
    def from_ints(cls, tokens: list[int]) -> ModelInput:
        assert tokens and all(type(token) is int for token in tokens)
        return cls(tuple(tokens))

    def to_ints(self) -> list[int]:
        return list(self.tokens)


@dataclass(frozen=True)
class TensorData:
    values: Any

    def to_torch(self) -> Any:
        return self.values

    @property
    def data(self) -> list[float]:
        return self.values.flatten().tolist()


class Datum:
    def __init__(self, model_input: ModelInput, loss_fn_inputs: dict[str, Any]) -> None:
        self.model_input = model_input
        self.loss_fn_inputs = {name: TensorData(values) for name, values in loss_fn_inputs.items()}


@dataclass(frozen=True)
class AdamParams:
    learning_rate: float = 0.0001
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass(frozen=True)
class SamplingParams:
    max_tokens: int | None = None
    seed: int | None = None
    stop: Any = None
    temperature: float = 1
    top_k: int = -1
    top_p: float = 1


TYPES: Any = SimpleNamespace(ModelInput=ModelInput, Datum=Datum, AdamParams=AdamParams, SamplingParams=SamplingParams)
"""The classes of requests, where the package is not installed."""


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def logprobs(net: Any, tokens: list[int], targets: Any) -> Any:
    logits = net(input_ids=torch.tensor([tokens])).logits[0].float()
    return logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]


class TrainingClient:
    """Holds one model, its gradient and its optimiser."""

    def __init__(self, net: Any, kept: dict[str, Any], run: str) -> None:
        self.net = net
        self.calls: list[str] = []
        self._kept = kept
        self._run = run
        self._trained = [one for one in net.parameters() if one.requires_grad]
        self.optimizer = torch.optim.AdamW(self._trained, lr=0.0)

    def forward(self, data: list[Any], loss_fn: str) -> Future[Any]:
        with torch.no_grad():
            return done(self._passed(data, loss_fn)[1])

    def forward_backward(self, data: list[Any], loss_fn: str) -> Future[Any]:
        loss, output = self._passed(data, loss_fn)
        loss.backward()
        return done(output)

    def _passed(self, data: list[Any], loss_fn: str) -> tuple[Any, Any]:
        assert loss_fn == "cross_entropy" and data
        self.calls.append("pass")
        loss, outputs = torch.zeros(()), []
        for datum in data:
            targets, weights = (datum.loss_fn_inputs[name].to_torch() for name in ("target_tokens", "weights"))
            tokens = datum.model_input.to_ints()
            assert targets.shape == weights.shape == (len(tokens),) and weights.dtype == torch.float32
            found = logprobs(self.net, tokens, targets)
            loss = loss - (found * weights).sum()
            outputs.append({"logprobs": TensorData(found.detach())})
        return loss, SimpleNamespace(loss_fn_outputs=outputs, metrics={"loss:sum": float(loss.detach())})

    def optim_step(self, adam_params: Any) -> Future[Any]:
        self.calls.append("step")
        for group in self.optimizer.param_groups:
            group["lr"], group["eps"] = adam_params.learning_rate, adam_params.eps
            group["betas"] = (adam_params.beta1, adam_params.beta2)
            group["weight_decay"] = adam_params.weight_decay
        norm = torch.nn.utils.clip_grad_norm_(self._trained, adam_params.grad_clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return done(SimpleNamespace(metrics={"unclipped_grad_l2:mean": float(norm)}))

    def save_state(self, name: str) -> Future[Any]:
        state = (self.net.state_dict(), self.optimizer.state_dict())
        return self._keep(f"weights/{name}", state)

    def save_weights_for_sampler(self, name: str) -> Future[Any]:
        return self._keep(f"sampler_weights/{name}", self.net.state_dict())

    def _keep(self, name: str, what: Any) -> Future[Any]:
        path = f"tinker://{self._run}/{name}"
        assert path not in self._kept, f"there is a checkpoint {path} already"
        self._kept[path] = copy.deepcopy(what)
        return done(SimpleNamespace(path=path))


class SamplingClient:
    def __init__(self, net: Any) -> None:
        self.net = net
        self.asked: list[Any] = []

    def sample(self, prompt: Any, num_samples: int, sampling_params: Any) -> Future[Any]:
        """Sample from the whole distribution, token by token."""
        assert num_samples == 1 and sampling_params.temperature == sampling_params.top_p == 1
        self.asked.append(sampling_params)
        rng = torch.Generator().manual_seed(sampling_params.seed)
        tokens, told = prompt.to_ints(), []
        for _ in range(sampling_params.max_tokens):
            with torch.no_grad():
                row = self.net(input_ids=torch.tensor([tokens])).logits[0, -1].float().log_softmax(-1)
            tokens.append(int(torch.multinomial(row.exp(), 1, generator=rng)))
            told.append(float(row[tokens[-1]]))
            if tokens[-1] in sampling_params.stop:
                break
        reason = "stop" if tokens[-1] in sampling_params.stop else "length"
        sequence = SimpleNamespace(tokens=tokens[-len(told) :], logprobs=told, stop_reason=reason)
        return done(SimpleNamespace(sequences=[sequence]))

    def compute_logprobs(self, prompt: Any) -> Future[list[float | None]]:
        tokens = prompt.to_ints()
        with torch.no_grad():
            found = logprobs(self.net, tokens[:-1], torch.tensor(tokens[1:])) if len(tokens) > 1 else torch.zeros(0)
        return done([None, *found.tolist()])


class ServiceClient:
    """Opens clients; each trains in a run of its own.

    Args:
        changes: of the tiny model.
    """

    def __init__(self, **changes: Any) -> None:
        self.kept: dict[str, Any] = {}
        self.clients: list[TrainingClient] = []
        self._changes = changes

    def _model(self) -> Any:
        return model(**self._changes)

    def create_lora_training_client(self, base_model: str, rank: int = 32, seed: int | None = None) -> Future[Any]:
        assert base_model == "tiny"
        return done(self._opened(lora(self._model(), rank=rank, alpha=rank, seed=seed or 0)))

    def create_training_client_from_state_with_optimizer(self, path: str) -> Future[Any]:
        weights, optimizer = self.kept[path]
        rank = next(one.shape[0] for name, one in weights.items() if "lora_A" in name)
        client = self._opened(lora(self._model(), rank=rank, alpha=rank))
        client.net.load_state_dict(weights)
        client.optimizer.load_state_dict(copy.deepcopy(optimizer))
        return done(client)

    def create_sampling_client(self, model_path: str | None = None, base_model: str | None = None) -> Future[Any]:
        if model_path is None:
            assert base_model == "tiny"
            return done(SamplingClient(self._model()))
        weights = self.kept[model_path]
        rank = next(one.shape[0] for name, one in weights.items() if "lora_A" in name)
        net = lora(self._model(), rank=rank, alpha=rank)
        net.load_state_dict(weights)
        return done(SamplingClient(net.eval()))

    def _opened(self, net: Any) -> TrainingClient:
        self.clients.append(TrainingClient(net, self.kept, f"run-{len(self.clients)}"))
        return self.clients[-1]
