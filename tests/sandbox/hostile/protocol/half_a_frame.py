# MODE: call
# EXPECT: time_limit
# MUST NOT: make the worker wait for the other half beyond the wall limit.
import os
import time


def add(a, b):
    for fd in range(3, 64):
        try:
            os.write(fd, b"\0\0\0\x09V[1")
        except OSError:
            pass
    time.sleep(60)
