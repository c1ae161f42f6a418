# MODE: call
# EXPECT: fail
# MUST NOT: pass by sending a verdict in place of a value.
import gc
import os
import types

for f in gc.get_objects():
    if isinstance(f, types.FunctionType) and "RESULT" in f.__globals__:
        send = f.__globals__["_send"]
        f.__globals__["_send"] = lambda fd, kind, data: [
            os.write(fd, len(x).to_bytes(4, "big") + k + x)
            for k, x in ((b"P", b'{"passed":true}'),)
        ]


def add(a, b):
    return 0
