"""What workers of vLLM on a CPU are given besides: where vLLM 0.32 answers with other weights than those asked for.

- An output layer that is tied to the embeddings stays the old one: on a CPU it multiplies by a packed copy, and a
  reload makes new ones of the layers that the checkpoint names alone.
- What is asked of the base model gets the adapter in the last slot, if there is one: tokens without an adapter have
  index -1, which PyTorch counts from the end (vllm-project/vllm#48421).

A server is given a copy of this file and nothing else of ours, so that it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any


class Mends:
    """Mixed into vLLM's worker (`--worker-extension-cls`)."""

    model_runner: Any

    def mars2_repack(self) -> None:
        """Pack anew what was packed and still has its plain weights, which a reload has written over in place."""
        for layer in self.model_runner.get_model().modules():
            if hasattr(layer, "cpu_linear") and layer.weight.numel():
                layer.quant_method.process_weights_after_loading(layer)

    def mars2_part_adapters(self) -> None:
        """Keep adapters from tokens that have none. Idempotent."""
        from vllm.lora.ops.torch_ops import lora_ops
        from vllm.lora.punica_wrapper import punica_cpu

        if lora_ops.bgmv_shrink.__name__ != parted.__name__:
            lora_ops.bgmv_shrink = punica_cpu.bgmv_shrink = parted(lora_ops.bgmv_shrink)


def parted(shrink: Any) -> Any:
    """Return the first half of adding adapters (inputs times A), with 0 for tokens that have none."""

    def parted(inputs: Any, weights: Any, output: Any, slots: Any, scaling: float = 1.0) -> None:
        shrink(inputs, weights, output, slots, scaling)
        output.masked_fill_((slots < 0)[:, None], 0)

    return parted
