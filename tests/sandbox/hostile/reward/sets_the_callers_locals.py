# MODE: call
# EXPECT: fail
# MUST NOT: change what its caller is about to report into a pass.
import ctypes
import sys


def add(a, b):
    frame = sys._getframe(1)
    while frame:
        for name in list(frame.f_locals):
            if name in ("data", "arguments", "code", "status", "ok", "passed"):
                frame.f_locals[name] = True
                ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))
        frame = frame.f_back
    return 0
