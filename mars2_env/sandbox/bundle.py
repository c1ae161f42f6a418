"""What a new worker is sent: the code of `worker/`, so that no image and no mount has to hold it."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import Any, Final

_MODULES: Final = (
    *("values", "frames", "driver", "guard", "seat", "zygote"),
    *("users", "meter", "place", "cleanup", "clock", "watch", "supervisor"),
)
"""In an order in which each finds those that it imports."""

BOOT: Final = """
import json, os, socket, sys, types
def boot():
    if sys.argv[1].isdigit():
        host = socket.socket(fileno=int(sys.argv[1]))
        host.set_inheritable(False)
    else:
        host = socket.socket(socket.AF_UNIX)
        host.connect(sys.argv[1])
    def take(count):
        data = b""
        while len(data) < count:
            piece = host.recv(count - len(data))
            if not piece:
                os._exit(1)
            data += piece
        return data
    bundle = json.loads(take(int.from_bytes(take(4), "big")))
    for name, source in bundle["modules"]:
        module = sys.modules[name] = types.ModuleType(name)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
        if source is None:
            module.__path__ = []
        else:
            exec(compile(source, last + ".py", "exec", dont_inherit=True), module.__dict__)
    settings = bundle["settings"]
    del bundle, source, take
    return module.main(host, settings)
try:
    act = boot()
    while True:
        act = act()
finally:
    os._exit(70)
"""
"""Run by a worker's interpreter; the argument is the path, or the descriptor, of the host's socket.

`boot` returns in the zygote, with what serves as one, and that in a seat, with what runs its job: so a candidate runs
on top of no frame of theirs, and what they hold is freed once, in the zygote, and not in every seat."""


@functools.cache
def _sources() -> tuple[tuple[str, str | None], ...]:
    package = "mars2_env.sandbox.worker"
    parents = [(name, None) for name in ("mars2_env", "mars2_env.sandbox", package)]
    folder = files(package)
    return (*parents, *((f"{package}.{name}", (folder / f"{name}.py").read_text("utf-8")) for name in _MODULES))


def bundle(settings: dict[str, Any]) -> bytes:
    """Return the first message to a worker: its code and `settings`, with the length in front.

    Args:
        settings: `box` and `packages`, two paths; `imports`, names of modules in the latter; `filter`, a compiled
            filter in base64 where each run is to be confined by namespaces and that filter, and not by a user id of its
            own and the engine.
    """
    data = json.dumps({"modules": _sources(), "settings": settings}).encode()
    return len(data).to_bytes(4, "big") + data
