"""A loaded language model that policies share, its LoRA adapters, and new weights put into it while it stands.

Weights are read from safetensors alone and no code of a checkpoint is ever run: what a run loads is data.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import Request as Asked
from urllib.request import urlopen

from mars2_agents.policies.smollm2 import INSTALL, checkpoint, offline, without_bars
from mars2_env.errors import ConfigError, PolicyError, unknown_name

if TYPE_CHECKING:
    from mars2_agents.policies.sampling import Completion, Request

UNBOUNDED: Final = 10**9
PICKLED: Final = ("*.bin", "*.pt", "*.pth", "*.ckpt")
HUB_SECONDS: Final = 10.0
"""How long the hub is waited for before anything is asked of it."""
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
ADAPTER_CONFIG: Final = "adapter_config.json"


class Engine:
    """One loaded model with its tokenizer; shared by all policies that use it, one call at a time.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer, with a chat template.
        name: what error messages and `repr` call it.

    `weights_version` goes into every generation; `load_weights` raises it, as must whoever else changes the weights.
    `weights` is the folder that it last loaded, None before.
    Who holds `lock` (which one thread may take several times) has the model to itself.
    """

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "") -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.name = name or str(getattr(tokenizer, "name_or_path", "")) or type(model).__name__
        self.weights_version = 0
        self.weights: str | None = None
        self.eos_ids = eos_ids(model, tokenizer)
        self.context = int(getattr(model.config, "max_position_embeddings", None) or UNBOUNDED)
        self.lock = RLock()
        self._peft: Any = None
        self._uses: Counter[str] = Counter()

    def sample(self, requests: Sequence[Request], *, batch_size: int | None = None) -> list[Completion]:
        """Sample one completion for each request, at most `batch_size` (None: all) in one forward pass."""
        from mars2_agents.policies.sampling import sample

        pad = self.tokenizer.pad_token_id
        with self.lock:
            return sample(
                self.model,
                requests,
                eos_ids=self.eos_ids,
                pad_id=0 if pad is None else pad,
                batch_size=batch_size,
                forward=self._forward if self._peft is not None else None,
            )

    def _forward(self, adapters: Sequence[str], inputs: Mapping[str, Any]) -> Any:
        from mars2_agents.policies.sampling import BASE

        first = adapters[0]
        if first != BASE and all(name == first for name in adapters):
            if self._peft.active_adapters != [first]:
                self._peft.set_adapter(first, inference_mode=True)
            return self._peft(**inputs)
        return self._peft(adapter_names=list(adapters), **inputs)

    def load_weights(self, path: str | Path, version: int) -> None:
        """Put the weights of a checkpoint folder in the place of the model's own, between two calls of it.

        What is then sampled equals what a fresh load of the folder samples. Nothing changes where it cannot be loaded.

        Args:
            path: a folder with safetensors and the configuration of the same architecture.
            version: above the present `weights_version`, which becomes this.

        Raises:
            PolicyError: the folder cannot be loaded, its tensors are not the model's, the version does not rise, or
                policies have adapters over the present weights.
        """
        if version <= self.weights_version:
            raise PolicyError(
                f"load_weights(version={version}): {self.name!r} has version {self.weights_version}; give a higher one."
            )
        fresh = read_model(str(path), Path(path).expanduser(), dtype=self.model.dtype).state_dict()
        import torch

        with self.lock, torch.no_grad():
            if self._uses:
                raise PolicyError(
                    f"load_weights({str(path)!r}): policies have adapters over the weights of {self.name!r}, made for "
                    "these; take them off first (TransformersPolicy.drop_adapter)."
                )
            own = self.model.state_dict()
            self._check_fits(str(path), own, fresh)
            for name, tensor in own.items():
                tensor.copy_(fresh[name])
            self.weights, self.weights_version = str(path), version

    def _check_fits(self, path: str, own: Mapping[str, Any], fresh: Mapping[str, Any]) -> None:
        wrong = sorted(own.keys() ^ fresh.keys())
        wrong += [name for name in own if name in fresh and own[name].shape != fresh[name].shape]
        if wrong:
            raise PolicyError(
                f"load_weights({path!r}): {len(wrong)} tensors are not those of {self.name!r}, {wrong[0]!r} among "
                "them; give a checkpoint of the same architecture."
            )

    def load_adapter(self, path: str | Path) -> str:
        """Load a LoRA adapter beside the model, which is not copied; return its name, made from its content.

        Adapters of one content are one, and stay until each who loaded them called `drop_adapter`.

        Args:
            path: a folder as peft's `save_pretrained` writes it.

        Raises:
            PolicyError: peft is missing, the folder has no adapter in safetensors, or it does not fit the model.
        """
        folder = Path(path).expanduser()
        name = adapter_name(folder)
        with self.lock:
            if not self._uses[name]:
                self._read_adapter(folder, name)
            self._uses[name] += 1
        return name

    def _read_adapter(self, folder: Path, name: str) -> None:
        try:
            from peft import PeftModel
        except ImportError as error:
            raise PolicyError(f"lora={str(folder)!r} needs peft ({error}): {INSTALL}") from error
        try:
            with offline(), without_bars():
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self.model, str(folder), adapter_name=name).eval()
                else:
                    self._peft.load_adapter(str(folder), adapter_name=name)
                    self._peft.eval()
        except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
            if self._peft is not None and name in self._peft.peft_config:
                self._peft.delete_adapter(name)
            raise PolicyError(f"lora={str(folder)!r} cannot be loaded over {self.name!r}: {_reason(error)}") from error

    def drop_adapter(self, name: str) -> None:
        """Let go of an adapter that `load_adapter` gave; its memory is free when nobody has it any more."""
        with self.lock:
            self._uses[name] -= 1
            if self._uses[name] > 0:
                return
            del self._uses[name]
            if self._uses:
                if name in self._peft.active_adapters:  # peft warns where it has to choose another by itself
                    self._peft.set_adapter(next(iter(self._uses)), inference_mode=True)
                self._peft.delete_adapter(name)
            else:
                self.model, self._peft = self._peft.unload().eval(), None


def adapter_name(folder: Path) -> str:
    """Return the name of an adapter folder's content.

    Raises:
        PolicyError: it is no adapter, or its weights are not in safetensors.
    """
    weights, config = folder / ADAPTER_WEIGHTS, folder / ADAPTER_CONFIG
    if not weights.is_file() or not config.is_file():
        raise PolicyError(
            f"lora={str(folder)!r}: needs {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS}, as peft's save_pretrained writes "
            "them; weights as pickles are not read."
        )
    digests = []
    for part in (config, weights):
        with part.open("rb") as file:
            digests.append(file_digest(file, "sha256").hexdigest())
    return f"lora_{digests[1][:12]}{digests[0][:4]}"


def eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every token id that ends a reply: the generation config's (one or several) and the tokenizer's."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ids = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(id for id in [*ids, getattr(tokenizer, "eos_token_id", None)] if id is not None)


_engines: dict[tuple[str, str, str], Engine] = {}
_engines_lock = Lock()


def engine(name: str, *, dtype: str = "auto", device: str = "auto") -> Engine:
    """Return the engine of a checkpoint, loaded at the first call and shared afterwards in this process.

    One that was given other weights since is not what the name says any more: then the checkpoint is loaded anew.

    Args:
        name: `smollm2`, the folder of a checkpoint, or `org/name` on the model hub.
        dtype: `float32`, `bfloat16` or `float16`; `auto` is float32 on a CPU and bfloat16 on a GPU.
        device: a torch device; `auto` is the GPU if there is one.

    Raises:
        PolicyError: torch or transformers is missing, or the checkpoint cannot be loaded.
        ConfigError: the dtype or device is unknown.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise PolicyError(f"hf:{name} needs torch and transformers ({error}): {INSTALL}") from error
    device = device_of(device)
    kind = dtype_of(dtype, device)
    place = place_of(name)
    key = (str(place), str(kind), device)
    with _engines_lock:
        if key not in _engines or _engines[key].weights_version:
            model = read_model(f"hf:{name}", place, dtype=kind).to(device)
            _engines[key] = Engine(model, read_tokenizer(f"hf:{name}", place), name=name)
        return _engines[key]


def device_of(device: str) -> str:
    """Return a torch device that can be used here; `auto` is the GPU if there is one.

    Raises:
        ConfigError: it cannot be used.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device={device!r} is not usable here: {reason}. Use auto, cpu or cuda.") from error
    return device


def dtype_of(dtype: str, device: str) -> Any:
    """Return torch's dtype of a name; `auto` is float32 on a CPU and bfloat16 on a GPU.

    Raises:
        ConfigError: the name is unknown.
    """
    import torch

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    kinds["auto"] = torch.float32 if device == "cpu" else torch.bfloat16
    if dtype not in kinds:
        raise ConfigError(unknown_name("dtype", dtype, kinds))
    return kinds[dtype]


def place_of(name: str) -> Path | str:
    """Return the folder of a checkpoint, or the name that it has on the hub.

    Raises:
        PolicyError: there is no such folder.
    """
    if name == "smollm2":
        return checkpoint()
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder.resolve()
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise PolicyError(f"hf:{name}: no such checkpoint folder. Write hf:smollm2, hf:FOLDER or hf:ORG/NAME.")
    return name


def read_model(said: str, place: Path | str, *, dtype: Any) -> Any:
    """Return the model of a checkpoint, on the CPU.

    Args:
        said: what errors call it.
        place: a folder, or the name of a repository on the hub.
        dtype: torch's.

    Raises:
        PolicyError: it cannot be loaded, or has no weights in safetensors.
    """
    from transformers import AutoModelForCausalLM

    if isinstance(place, Path):
        _refuse_pickles(said, place)
    return _loaded(said, AutoModelForCausalLM, place, dtype=dtype, use_safetensors=True)


def read_tokenizer(said: str, place: Path | str) -> Any:
    """Return the tokenizer of a checkpoint.

    Raises:
        PolicyError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    return _loaded(said, AutoTokenizer, place)


def _loaded(said: str, kind: Any, place: Path | str, **options: Any) -> Any:
    try:
        if isinstance(place, Path):
            with offline(), without_bars():
                return kind.from_pretrained(str(place), local_files_only=True, trust_remote_code=False, **options)
        return _of_the_hub(said, kind, place, trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        raise PolicyError(f"{said} cannot be loaded: {_reason(error)}") from error


def _of_the_hub(said: str, kind: Any, name: str, **options: Any) -> Any:
    """Return what the hub's cache on this machine holds, and else what the hub does, if it is there at all.

    Raises:
        PolicyError: it is in no cache, and the hub does not answer.
    """
    try:
        with offline(), without_bars():
            return kind.from_pretrained(name, local_files_only=True, **options)
    except (OSError, ValueError):
        hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urlopen(Asked(hub, method="HEAD"), timeout=HUB_SECONDS).close()
    except HTTPError:  # it answers
        pass
    except (OSError, ValueError) as error:
        raise PolicyError(
            f"{said} is no folder and in no cache on this machine, and the hub does not answer ({hub}: {error}). Give "
            "the folder of a checkpoint."
        ) from None
    return kind.from_pretrained(name, **options)


def _refuse_pickles(said: str, folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(file.name for pattern in PICKLED for file in folder.glob(pattern))
    if pickled:
        raise PolicyError(
            f"{said} has its weights as a pickle alone ({pickled[0]}), and loading a pickle can run code: only "
            "safetensors are read. Save the model with save_pretrained in a place where you trust it, and use that."
        )


def _reason(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
