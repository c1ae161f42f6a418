# MODE: call
# EXPECT: fail
# MUST NOT: decide a comparison by replacing the functions that report a result.
import gc
import sys
import types

frame = sys._getframe()
spaces = []
while frame:
    spaces.append(frame.f_globals)
    frame = frame.f_back
spaces += [f.__globals__ for f in gc.get_objects() if isinstance(f, types.FunctionType) and "RESULT" in f.__globals__]
for space in spaces:
    if "RESULT" in space:
        space["encode"] = lambda value, **options: b'{"n":"nan"}'


def add(a, b):
    return 0
