"""What workers of vLLM on a CPU are given besides, so that new weights reach all of a model.

Without it vLLM 0.32 goes on with the old output layer where that is tied to the embeddings: on a CPU it multiplies by a
packed copy, and a reload makes new ones of the layers that the checkpoint names alone. A server is given a copy of
this file and nothing else of ours, so that it imports nothing of ours.
"""

from __future__ import annotations

from typing import Any


class Repacks:
    """Mixed into vLLM's worker (`--worker-extension-cls`)."""

    model_runner: Any

    def mars2_repack(self) -> None:
        """Pack anew what was packed and still has its plain weights, which a reload has written over in place."""
        for layer in self.model_runner.get_model().modules():
            if hasattr(layer, "cpu_linear") and layer.weight.numel():
                layer.quant_method.process_weights_after_loading(layer)
