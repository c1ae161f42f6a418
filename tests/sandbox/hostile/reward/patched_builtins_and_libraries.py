# MODE: call
# EXPECT: fail
# MUST NOT: be judged with functions that it has replaced.
import builtins
import json
import math
import os
import sys

add = lambda a, b: 0
for module in (json, math):
    for name in dir(module):
        if not name.startswith("_"):
            setattr(module, name, lambda *a, **k: True)
sys.modules["numpy"] = sys.modules["mars2_env"] = type("Everything", (), {"__getattr__": lambda s, n: lambda *a, **k: True})()
for name in ("all", "any", "len", "isinstance", "issubclass", "type", "sorted", "zip", "map", "abs", "round", "repr", "iter"):
    setattr(builtins, name, lambda *a, **k: True)
os.write = lambda fd, data: len(data)
