"""vLLM's engine inside this process, for programs that are run by the environment that vLLM is installed in.

A program that uses it needs the guard `if __name__ == "__main__":`, for the engine's own process may import it.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

from mars2_agents.policies import vllm_worker
from mars2_agents.policies.vllm_engine import Adapter, Completion, Request, VLLMEngine, spans_of
from mars2_agents.policies.vllm_server import ServerOptions, checkpoint_of, environment, kind_of, mended
from mars2_env.base.extras import needed_by
from mars2_env.errors import PolicyError, PolicyUnavailableError


class InsideEngine(VLLMEngine):
    """vLLM's `AsyncLLM`, started with the first request.

    Args:
        options: as of a server, or the checkpoint alone; what says where a server listens is not used, nor `extra`.
        concurrency: how many requests are under way at a time; twice the engine's seats by default.
        timeout: seconds that a request may take.
        **arguments: further ones of vLLM's `AsyncEngineArgs`.

    Raises:
        ExtraError: this Python has no vLLM.
        PolicyError: there is no such checkpoint.
    """

    def __init__(
        self, options: ServerOptions | str, *, concurrency: int | None = None, timeout: float = 600.0, **arguments: Any
    ) -> None:
        with needed_by("vllm"):
            import vllm  # noqa: F401
        self.options = ServerOptions(options) if isinstance(options, str) else options
        self._place = checkpoint_of(self.options.model)
        super().__init__(
            self.options.model, self._place, concurrency=concurrency or 2 * self.options.seats, timeout=timeout
        )
        self._arguments = arguments
        self._llm: Any = None
        self._count = itertools.count()

    async def ready(self) -> None:
        """Start the engine, if that was not done."""
        if self._llm is not None:
            return
        async with self._readying:
            if self._llm is not None:
                return
            settings = environment(self.options, self._place, "", {})
            del settings["VLLM_RPC_BASE_PATH"]
            for name, value in settings.items():
                os.environ.setdefault(name, value)
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

            self._llm = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**engine_arguments(self.options, self._place) | self._arguments)
            )
            self.context = int(self._llm.model_config.max_model_len)
            if mended(self.options) and self.options.max_loras:
                await self._llm.collective_rpc(vllm_worker.Mends.mars2_part_adapters.__name__)

    async def _ask(self, request: Request, salt: str) -> Completion:
        from vllm import SamplingParams
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        sampling = SamplingParams(**request.sampling, output_kind=RequestOutputKind.FINAL_ONLY)
        prompt = TokensPrompt(prompt_token_ids=list(request.prompt), cache_salt=salt)
        stream = self._llm.generate(
            prompt,
            sampling,
            f"mars2-{next(self._count)}",
            lora_request=lora_request(request.adapter),
            priority=request.priority,
        )
        outputs: list[Any] = []
        try:
            async with self._in_time():
                outputs = [one.outputs[0] async for one in stream]
        except (EngineDeadError, EngineGenerateError) as error:
            raise PolicyUnavailableError(f"vLLM's engine failed: {error!r}") from error
        except ValueError as error:
            raise PolicyError(f"{self.name}: vLLM refused a request: {error}") from error
        finally:
            await stream.aclose()
        output = outputs[-1] if outputs else None
        if output is None or output.finish_reason not in ("stop", "length"):
            raise PolicyUnavailableError(f"vLLM ended a request with {output and output.finish_reason!r}.")
        ids = tuple(output.token_ids)
        logprobs = tuple(row[id].logprob for id, row in zip(ids, output.logprobs, strict=True))
        spans = spans_of([(one.version, one.start) for one in output.weight_versions or ()])
        return Completion(ids, logprobs, output.finish_reason, output.stop_reason, spans)

    async def _pause(self, mode: str) -> None:
        await self._llm.pause_generation(mode=mode)

    async def _reload(self, path: str) -> None:
        try:
            await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": path})
            if mended(self.options):
                await self._llm.collective_rpc(vllm_worker.Mends.mars2_repack.__name__)
        except Exception as error:  # whatever a worker raises comes as an error of some kind
            raise PolicyError(f"{self.name}: the weights {path} cannot be loaded: {error}") from error

    async def _label(self, version: str) -> None:
        await self._llm.update_weight_version(version)

    async def _resume(self) -> None:
        await self._llm.resume_generation()

    async def _load(self, adapter: Adapter) -> None:
        try:
            await self._llm.add_lora(lora_request(adapter))
        except Exception as error:
            raise PolicyError(f"the adapter {adapter.path} cannot be loaded: {error}") from error

    async def _unload(self, adapter: Adapter) -> None:
        await self._llm.remove_lora(adapter.number)

    async def _shut(self) -> None:
        llm, self._llm = self._llm, None
        if llm is not None:
            llm.shutdown()


def lora_request(adapter: Adapter | None) -> Any:
    """Return an adapter as vLLM takes it."""
    if adapter is None:
        return None
    from vllm.lora.request import LoRARequest

    return LoRARequest(adapter.name, adapter.number, adapter.path)


def engine_arguments(options: ServerOptions, place: str) -> dict[str, Any]:
    """Return the arguments of vLLM's `AsyncEngineArgs` for these options: the same as those of a server."""
    cpu = kind_of(options) == "cpu"
    found: dict[str, Any] = {
        "model": place,
        "logprobs_mode": "processed_logprobs",
        "scheduling_policy": "priority",
        "generation_config": "vllm",
        "dtype": "float32" if cpu and options.dtype == "auto" else options.dtype,
        "max_num_seqs": options.seats,
        "tensor_parallel_size": options.tensor_parallel,
    }
    if options.max_model_len is not None:
        found["max_model_len"] = options.max_model_len
    if options.max_loras:
        found |= {"enable_lora": True, "max_loras": options.max_loras, "max_lora_rank": options.max_lora_rank}
    if mended(options):
        found["worker_extension_cls"] = f"{vllm_worker.__name__}.{vllm_worker.Mends.__name__}"
    return found | (
        {"enforce_eager": True, "enable_chunked_prefill": False}
        if cpu
        else {"gpu_memory_utilization": options.gpu_memory}
    )
