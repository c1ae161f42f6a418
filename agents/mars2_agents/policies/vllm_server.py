"""A vLLM server as a process of ours: started, watched, restarted, and gone when this process is.

By default it listens on a Unix socket in a folder of mode 0700. vLLM's control routes (`/pause`, `/collective_rpc`,
`/v1/load_lora_adapter`) are not guarded by its `--api-key`: who reaches the server's port can change its weights.

vLLM wants versions of its own of torch and transformers, so that it usually lives in an environment of its own
(`make vllm` makes `.vllm`); the server is run by `python=`, else `$MARS2_VLLM_PYTHON`, else by this Python where it has
vLLM.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from mars2_agents.policies import keeper, vllm_worker
from mars2_agents.policies.smollm2 import checkpoint
from mars2_env.base.checks import real_number, whole_number
from mars2_env.base.extras import needed_by
from mars2_env.errors import ConfigError, PolicyError, PolicyUnavailableError

PYTHON: Final = "MARS2_VLLM_PYTHON"
LOCAL: Final = ("127.0.0.1", "localhost")
SOCKET: Final = "vllm.sock"
PATIENCE: Final = "3600"
EXTENSION: Final = "mars2_vllm_worker"
LONGEST_SOCKET: Final = 100
"""A Unix socket's path has at most 107 bytes."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: the root of its routes, without `/v1`, and its Unix socket, if that is how."""

    url: str
    socket: str | None = None

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else self.url


def address_of(text: str) -> Address:
    """Return the address that a text means: `http://host:port`, with or without `/v1`, or `unix:/path`.

    Raises:
        ConfigError: it is neither.
    """
    if text.startswith("unix:/"):
        return Address("http://vllm", text.removeprefix("unix:"))
    if re.match(r"https?://[^/]", text):
        return Address(text.rstrip("/").removesuffix("/v1").rstrip("/"))
    raise ConfigError(f"vLLM server {text!r}: write http://host:port, with or without /v1, or unix:/path.")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How a server is run.

    Attributes:
        model: the folder of a checkpoint, `smollm2`, or `org/name` on the model hub.
        kind: "cpu" (float32, no compilation) or "gpu"; "auto" is "gpu" where there is an NVIDIA device.
        dtype: of the weights; "auto" is float32 on a CPU and the checkpoint's own on a GPU.
        max_model_len: the most tokens of prompt and reply together; None: the checkpoint's own.
        max_num_seqs: how many requests it works on at a time; None: 8 on a CPU, 256 on a GPU.
        max_loras: how many LoRA adapters it can use at a time beside the base model; 0 for none.
        max_lora_rank: the highest rank of an adapter.
        tensor_parallel: over how many GPUs the model is spread.
        gpus: which GPUs it may use, as `CUDA_VISIBLE_DEVICES` counts them; () for all.
        gpu_memory: the share of a GPU's memory that it takes.
        cache_gb: the memory of the key-value cache on a CPU, in gigabytes.
        cores: the CPUs it computes on, such as "0-3"; "" for all that this process may use.
        port: None for a Unix socket, 0 for any free port, else the port.
        host: where it listens, with a port.
        control: whether it takes new weights and adapters as it runs; refused on a host that others reach.
        extra: further arguments of `vllm serve`.
    """

    model: str
    kind: Literal["auto", "cpu", "gpu"] = "auto"
    dtype: str = "auto"
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_loras: int = 0
    max_lora_rank: int = 16
    tensor_parallel: int = 1
    gpus: tuple[int, ...] = ()
    gpu_memory: float = 0.9
    cache_gb: int = 1
    cores: str = ""
    port: int | None = None
    host: str = "127.0.0.1"
    control: bool = True
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.model or not isinstance(self.model, str):
            raise ConfigError(f"VLLMServer(model={self.model!r}): name a checkpoint's folder, smollm2 or org/name.")
        if self.kind not in ("auto", "cpu", "gpu"):
            raise ConfigError(f"VLLMServer(kind={self.kind!r}): must be auto, cpu or gpu.")
        for name in ("max_model_len", "max_num_seqs", "tensor_parallel", "max_lora_rank", "cache_gb"):
            if (value := getattr(self, name)) is not None:
                whole_number(name, value, least=1, where="VLLMServer", error=ConfigError)
        whole_number("max_loras", self.max_loras, least=0, where="VLLMServer", error=ConfigError)
        object.__setattr__(
            self,
            "gpu_memory",
            real_number("gpu_memory", self.gpu_memory, above=0, most=1, where="VLLMServer", error=ConfigError),
        )
        if self.gpus and len(self.gpus) < self.tensor_parallel:
            raise ConfigError(
                f"VLLMServer(tensor_parallel={self.tensor_parallel}, gpus={self.gpus}): that many GPUs are needed."
            )
        if self.port is not None and self.host not in LOCAL and self.control:
            raise ConfigError(
                f"VLLMServer(host={self.host!r}): whoever reaches that port could change the weights, for --api-key "
                "does not guard vLLM's control routes. Give control=False, or listen on 127.0.0.1 or a Unix socket."
            )

    @property
    def seats(self) -> int:
        """How many requests it works on at a time."""
        return self.max_num_seqs or (8 if kind_of(self) == "cpu" else 256)


def kind_of(options: ServerOptions) -> Literal["cpu", "gpu"]:
    """Return what the server computes on."""
    if options.kind != "auto":
        return options.kind
    return "gpu" if Path("/dev/nvidiactl").exists() else "cpu"


def checkpoint_of(model: str) -> str:
    """Return the folder of a checkpoint, or the name that a model has on the hub.

    Raises:
        PolicyError: there is no such folder.
    """
    if model == "smollm2":
        return str(checkpoint())
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if model.startswith(("/", ".", "~")) or model.count("/") != 1:
        raise PolicyError(f"vllm:{model}: no such checkpoint folder. Write smollm2, FOLDER or ORG/NAME.")
    return model


def command(options: ServerOptions, python: str, place: str, address: Address) -> list[str]:
    """Return the command line of a server.

    Args:
        options: how it is run.
        python: the interpreter that has vLLM.
        place: the checkpoint.
        address: where it is to listen.
    """
    cpu = kind_of(options) == "cpu"
    dtype = "float32" if cpu and options.dtype == "auto" else options.dtype
    words = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", place]
    # Log-probs of what was sampled from; spans of weights versions; who waits for whom is the caller's to say.
    words += ["--logprobs-mode", "processed_logprobs", "--enable-scale-out", "--scheduling-policy", "priority"]
    words += ["--generation-config", "vllm", "--disable-uvicorn-access-log", "--dtype", dtype]
    words += ["--max-num-seqs", str(options.seats)]
    if options.max_model_len is not None:
        words += ["--max-model-len", str(options.max_model_len)]
    if options.max_loras:
        words += ["--enable-lora", "--max-loras", str(options.max_loras)]
        words += ["--max-lora-rank", str(options.max_lora_rank)]
    if cpu:
        # A prompt that is taken in parts ends vLLM's engine on a CPU where the request has a seed: it wants to take the
        # draw of each part back, and a generator on a CPU has no offset.
        words += ["--enforce-eager", "--no-enable-chunked-prefill"]
    else:
        words += ["--gpu-memory-utilization", str(options.gpu_memory)]
    if options.tensor_parallel > 1:
        words += ["--tensor-parallel-size", str(options.tensor_parallel)]
    if mended(options):
        words += ["--worker-extension-cls", f"{EXTENSION}.{vllm_worker.Mends.__name__}"]
    if address.socket:
        words += ["--uds", address.socket]
    else:
        words += ["--host", options.host, "--port", address.url.rpartition(":")[2]]
    return [*words, *options.extra]


def environment(options: ServerOptions, place: str, folder: str, base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server.

    Args:
        options: how it is run.
        place: the checkpoint; no hub is asked about one in a folder.
        folder: for the sockets between its processes, and for what it is given of ours (`give_extension`).
        base: the environment of this process; what would lead another Python astray is left out.
    """
    found = {name: value for name, value in base.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    found |= {"VLLM_NO_USAGE_STATS": "1", "VLLM_RPC_BASE_PATH": folder}
    if Path(place).is_dir():
        found |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if folder and mended(options):
        found["PYTHONPATH"] = folder
    if options.control:
        found["VLLM_SERVER_DEV_MODE"] = "1"
        if options.max_loras:
            found["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if kind_of(options) == "cpu":
        # Left to itself vLLM keeps a core back, which on a small machine is much.
        mine = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(options.cache_gb), "VLLM_CPU_OMP_THREADS_BIND": options.cores or mine}
        # vLLM gives up an engine that takes minutes to start, or for a step; on a busy machine it may.
        found = {"VLLM_ENGINE_READY_TIMEOUT_S": PATIENCE, "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": PATIENCE} | found
    elif options.gpus:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, options.gpus))
    return found


def mended(options: ServerOptions) -> bool:
    """Return whether the workers of a server are given our extension (`vllm_worker`)."""
    return options.control and kind_of(options) == "cpu"


def give_extension(folder: str) -> None:
    """Put the worker extension where a server's Python finds it, and nothing of ours beside it."""
    shutil.copyfile(vllm_worker.__file__, Path(folder) / f"{EXTENSION}.py")


def vllm_python(python: str | None = None) -> str:
    """Return the interpreter that has vLLM: the one given, `$MARS2_VLLM_PYTHON`, else this one.

    Raises:
        ConfigError: the one named is not there, or none is named and this one has no vLLM.
    """
    named = python or os.environ.get(PYTHON, "")
    if not named:
        if find_spec("vllm") is not None:
            return sys.executable
        raise ConfigError(
            f"vLLM is not installed for {sys.executable}. `make vllm` makes an environment for it; then set "
            f"{PYTHON}=.vllm/bin/python, or give python=... to VLLMServer."
        )
    found = shutil.which(os.path.expanduser(named))
    if found is None:
        where = f"python={named!r}" if python else f"{PYTHON}={named!r}"
        raise ConfigError(f"{where} is no Python that can be run; `make vllm` makes .vllm/bin/python.")
    return os.path.abspath(found)


def free_port(host: str) -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])


@dataclass(eq=False)
class VLLMServer:
    """A vLLM server that this process runs; a context manager.

    A server that died is started again by the next request of a policy (`ensure`), at most `restarts` times, each time
    after a longer pause. When this process ends, even by `kill -9`, the server ends, with all its processes.

    Args:
        options: how it is run, or the checkpoint alone.
        python: the interpreter that has vLLM; else `$MARS2_VLLM_PYTHON`, else this one.
        log: the file that its output is appended to; else one that is removed with the server.
        start_seconds: how long it may take to come up.
        grace_seconds: how long it may take to stop before it is killed.
        restarts: how often it is started again, at most.
        backoff: seconds before each such start; the last holds for all later ones.
        say: told in one line what takes time; prints to standard error by default.
    """

    options: ServerOptions
    python: str | None = None
    log: str | Path | None = None
    start_seconds: float = 900.0
    grace_seconds: float = 10.0
    restarts: int = 3
    backoff: tuple[float, ...] = (1.0, 5.0, 20.0)
    say: Callable[[str], None] | None = None
    starts: int = field(default=0, init=False)
    """How many times it was started; who keeps something in it (weights, adapters) looks whether that has changed."""
    _keeper: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _address: Address | None = field(default=None, init=False, repr=False)
    _folder: str = field(default="", init=False, repr=False)
    _log: Path = field(default=Path(), init=False, repr=False)
    _owner: int = field(default=0, init=False, repr=False)
    _lock: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)
    _closed: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.options, str):
            self.options = ServerOptions(self.options)

    @property
    def address(self) -> Address:
        """Where it listens.

        Raises:
            PolicyUnavailableError: it was never started.
        """
        if self._address is None:
            raise PolicyUnavailableError(
                "the vLLM server was not started; call start(), or use it in a `with` statement."
            )
        return self._address

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._keeper is not None and self._keeper.poll() is None

    def start(self) -> Self:
        """Start it, unless it runs, and return it when it answers.

        Raises:
            ConfigError: there is no Python with vLLM.
            PolicyError: there is no such checkpoint.
            PolicyUnavailableError: it ended, or did not answer in time; the message has the end of its output.
        """
        with self._lock:
            if self._closed:
                raise PolicyUnavailableError(f"the vLLM server of {self.options.model} is closed.")
            if self.alive:
                return self
            python, place = vllm_python(self.python), checkpoint_of(self.options.model)
            self._let_go()
            self._folder = _private_folder()
            give_extension(self._folder)
            if self._address is None or self._address.socket:
                self._address = self._new_address()
            self._log = Path(self.log or Path(self._folder) / "vllm.log")
            self._log.parent.mkdir(parents=True, exist_ok=True)
            words = [sys.executable, "-I", "-S", str(Path(keeper.__file__)), str(os.getpid()), str(self.grace_seconds)]
            words += [self._folder, *command(self.options, python, place, self._address)]
            with self._log.open("ab") as log:
                self._keeper = subprocess.Popen(
                    words,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(self.options, place, self._folder, os.environ),
                    start_new_session=True,
                )
            self._owner = os.getpid()
            self.starts += 1
            try:
                self._wait_until_up()
            except BaseException:
                self._let_go()
                raise
            return self

    def ensure(self) -> Self:
        """Start it again where it has died, and return it when it answers.

        Raises:
            PolicyUnavailableError: it cannot be started, or has died more often than `restarts` allows.
        """
        with self._lock:
            while not self.alive:
                again = self.starts - 1
                if again >= self.restarts:
                    raise PolicyUnavailableError(
                        f"the vLLM server of {self.options.model} died {self.starts} times; it is not started again."
                    )
                if again >= 0 and self._keeper is not None:
                    pause = self.backoff[min(again, len(self.backoff) - 1)] if self.backoff else 0.0
                    self._tell(f"vLLM: the server of {self.options.model} is gone; starts again in {pause:g} s ...")
                    sleep(pause)
                try:
                    self.start()
                except PolicyUnavailableError:
                    if self.starts - 1 >= self.restarts or self._closed:
                        raise
            return self

    def close(self) -> None:
        """Stop it: ask, then kill whatever is left; more than once does no harm."""
        with self._lock:
            self._closed = True
            self._let_go()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_keeper", None) is not None:
            self._let_go()

    def output(self, lines: int = 20) -> str:
        """Return the end of what it wrote."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 64 * 2**10))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _new_address(self) -> Address:
        if self.options.port is None:
            return Address("http://vllm", f"{self._folder}/{SOCKET}")
        host = self.options.host
        port = self.options.port or free_port(host)
        return Address(f"http://{host}:{port}")

    def _let_go(self) -> None:
        """Stop the process, if this one started it: a child made by a fork has this object, but not the server."""
        running, self._keeper = self._keeper, None
        if running is None or self._owner != os.getpid():
            return
        if running.stdin is not None:
            running.stdin.close()
        try:
            running.wait(self.grace_seconds + 20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _wait_until_up(self) -> None:
        began = monotonic()
        told = 15.0
        self._tell(f"vLLM: starting a server of {self.options.model} ({kind_of(self.options)}) ...")
        assert self._keeper is not None
        with needed_by("VLLMServer"):
            import httpx2
        transport = httpx2.HTTPTransport(uds=self.address.socket)
        with httpx2.Client(transport=transport, base_url=self.address.url, timeout=10.0) as client:
            while True:
                try:
                    self._keeper.wait(0.5)
                except subprocess.TimeoutExpired:
                    pass
                else:
                    status = self._keeper.returncode
                    said = self.output() or "it printed nothing; is its Python (python=) one that has vLLM?"
                    raise PolicyUnavailableError(f"the vLLM server ended with status {status}:\n{said}")
                if listens(self.address):
                    with suppress(httpx2.TransportError):
                        if client.get("/health").status_code == 200:
                            break
                waited = monotonic() - began
                if waited > self.start_seconds:
                    raise PolicyUnavailableError(f"the vLLM server did not answer in {waited:.0f} s:\n{self.output()}")
                if waited > told:
                    told += 15.0
                    self._tell(f"vLLM: loading {self.options.model}, {waited:.0f} s; its output is in {self._log}")
        self._tell(f"vLLM: {self.options.model} is up after {monotonic() - began:.0f} s, at {self.address}")

    def _tell(self, line: str) -> None:
        if self.say is not None:
            self.say(line)
        else:
            print(line, file=sys.stderr, flush=True)


def listens(address: Address) -> bool:
    """Return whether a connection to an address is taken."""
    try:
        if address.socket is None:
            socket.create_connection(_host_and_port(address.url), 10.0).close()
            return True
        with socket.socket(socket.AF_UNIX) as tried:
            tried.settimeout(10.0)
            tried.connect(address.socket)
    except OSError:
        return False
    return True


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)


def _private_folder() -> str:
    """Return a new folder of mode 0700, whose path is short enough for a Unix socket in it."""
    base = tempfile.gettempdir()
    if len(base) + len("/mars2-vllm-") + 16 + len(SOCKET) > LONGEST_SOCKET:
        base = "/tmp"
    return tempfile.mkdtemp(prefix="mars2-vllm-", dir=base)
