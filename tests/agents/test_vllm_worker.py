"""What a vLLM server on a CPU is given besides, so that it answers with the weights that it is asked for."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra transformers")
pytest.importorskip("httpx2", reason="needs the extra vllm")
pytest.importorskip("transformers", reason="needs the extra vllm")

from fake_vllm import FakeVLLM, running  # noqa: E402
from mars2_agents.learners.learner import WeightsRef  # noqa: E402
from mars2_agents.policies import vllm_worker  # noqa: E402
from mars2_agents.policies.vllm import VLLMPolicy  # noqa: E402
from mars2_agents.policies.vllm_http import HTTPEngine  # noqa: E402
from mars2_agents.policies.vllm_server import (  # noqa: E402
    Address,
    ServerOptions,
    VLLMServer,
    address_of,
    command,
    environment,
    give_extension,
)
from mars2_agents.training.weights import deliver  # noqa: E402

RELOAD, REPACK, PART = "reload_weights", "mars2_repack", "mars2_part_adapters"
LABEL = "/update_weight_version"


class Packed:
    """Makes a layer multiply by a packed copy of its weights, as vLLM does on a CPU."""

    def process_weights_after_loading(self, layer: Any) -> None:
        copied = layer.weight.detach().clone()
        layer.cpu_linear = lambda x: x @ copied.T


def layer_of(*, keeps_weights: bool) -> Any:
    layer = torch.nn.Linear(2, 3, bias=False)
    layer.quant_method = Packed()
    layer.quant_method.process_weights_after_loading(layer)
    if not keeps_weights:
        layer.weight = torch.nn.Parameter(torch.empty(0))
    return layer


class Worker(vllm_worker.Mends):
    """A worker of vLLM, as far as it is asked."""

    def __init__(self, model: Any) -> None:
        self.model_runner = self
        self.get_model = lambda: model


def test_a_layer_whose_weights_were_written_over_multiplies_by_the_new_ones() -> None:
    tied, taken = layer_of(keeps_weights=True), layer_of(keeps_weights=False)
    x, before = torch.ones(1, 2), taken.cpu_linear(torch.ones(1, 2))
    with torch.no_grad():
        tied.weight.fill_(7)
    assert not torch.equal(tied.cpu_linear(x), torch.full((1, 3), 14.0))  # or there were nothing to mend
    Worker(torch.nn.Sequential(tied, taken, torch.nn.LayerNorm(2))).mars2_repack()
    assert torch.equal(tied.cpu_linear(x), torch.full((1, 3), 14.0))
    assert torch.equal(taken.cpu_linear(x), before)


def shrink(inputs: Any, weights: Any, output: Any, slots: Any, scaling: float = 1.0) -> None:
    """What vLLM 0.32 does: the weights of a token's slot, and of the last one where it has none."""
    output[:] = scaling * torch.einsum("bi,boi->bo", inputs, weights[slots])


def test_tokens_without_an_adapter_get_none_and_others_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {name: ModuleType(name) for name in ("vllm.lora.ops.torch_ops", "vllm.lora.punica_wrapper")}
    lora_ops, punica_cpu = (SimpleNamespace(bgmv_shrink=shrink) for _ in range(2))
    modules["vllm.lora.ops.torch_ops"].lora_ops = lora_ops  # type: ignore[attr-defined]
    modules["vllm.lora.punica_wrapper"].punica_cpu = punica_cpu  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    inputs, slots = torch.ones(3, 2), torch.tensor([0, -1, 1])
    weights = torch.tensor([1.0, 2.0])[:, None, None].expand(2, 4, 2)
    found = torch.zeros(3, 4)
    lora_ops.bgmv_shrink(inputs, weights, found, slots, 0.5)
    assert found[:, 0].tolist() == [1, 2, 2]  # or there were nothing to mend
    for _ in range(2):
        Worker(None).mars2_part_adapters()
    for module in (lora_ops, punica_cpu):
        module.bgmv_shrink(inputs, weights, found, slots, 0.5)
        assert found[:, 0].tolist() == [1, 0, 2]
    (kept,) = [cell.cell_contents for cell in punica_cpu.bgmv_shrink.__closure__]
    assert kept is shrink


def test_what_a_server_is_given_imports_nothing_of_ours(tmp_path: Path) -> None:
    give_extension(str(tmp_path))
    (file,) = tmp_path.iterdir()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {str(node.module).partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "typing", "vllm"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


@pytest.mark.parametrize(
    ("kind", "control", "given"), [("cpu", True, True), ("gpu", True, False), ("cpu", False, False)]
)
def test_a_server_that_takes_weights_on_a_cpu_is_given_it(kind: Any, control: bool, given: bool) -> None:
    options = ServerOptions("org/m", kind=kind, control=control)
    words = command(options, "python", "org/m", Address("http://vllm", "/folder/vllm.sock"))
    assert ("mars2_vllm_worker.Mends" in words) == given
    found = environment(options, "org/m", "/folder", {"PYTHONPATH": "/ours"})
    assert found.get("PYTHONPATH") == ("/folder" if given else None)


@pytest.mark.parametrize(
    ("kind", "loras", "asked"),
    [("cpu", 2, [PART, RELOAD, REPACK]), ("cpu", 0, [RELOAD, REPACK]), ("gpu", 2, [RELOAD])],
)
def test_workers_on_a_cpu_are_mended_at_the_start_and_before_new_weights_are_named(
    kind: Any, loras: int, asked: list[str], tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(FakeVLLM()) as fake:
        monkeypatch.setattr(VLLMServer, "alive", True)
        monkeypatch.setattr(VLLMServer, "address", address_of(fake.url))
        engine = HTTPEngine(VLLMServer(ServerOptions(str(tmp_path), kind=kind, max_loras=loras)), tokenizer=tokenizer)
        try:
            deliver(VLLMPolicy(engine, max_new_tokens=8), WeightsRef("/weights/1", 1))
        finally:
            engine.close()
        calls = fake.calls[: fake.routes.index(LABEL)]
        assert [body["method"] for route, body in calls if route == "/collective_rpc"] == asked
        assert fake.label == "1"
