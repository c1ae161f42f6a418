# MODE: call
# EXPECT: fail
# MUST NOT: see or change the judge's variables by tracing.
import sys
import threading


def trace(frame, event, argument):
    for name in ("expected", "actual", "result", "data"):
        if name in frame.f_locals:
            frame.f_locals[name] = frame.f_locals.get("expected", 0)
    frame.f_trace_opcodes = True
    return trace


frame = sys._getframe()
while frame:
    frame.f_trace = trace
    frame = frame.f_back
sys.settrace(trace)
sys.setprofile(trace)
threading.settrace(trace)


def add(a, b):
    sys.settrace(trace)
    return 0
