# MODE: call
# EXPECT: fail
# MUST NOT: find an expected output or another test in any frame.
import sys
import threading

WORDS = ("expected", "output", "answer", "solution", "want", "gt", "test", "case", "hidden", "public", "problem")


def add(a, b):
    frames = [sys._getframe(), *sys._current_frames().values()]
    seen = set()
    while frames:
        frame = frames.pop()
        if frame is None or id(frame) in seen:
            continue
        seen.add(id(frame))
        frames.append(frame.f_back)
        for name, value in [*frame.f_locals.items(), *frame.f_globals.items()]:
            if any(word in name.lower() for word in WORDS) and name != "output_bytes" and frame.f_globals is not globals():
                return value
    return None
