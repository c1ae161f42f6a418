# MODE: call
# EXPECT: fail
# MUST NOT: make the worker read a result from elsewhere.
import os

zero = os.open("/dev/zero", os.O_RDWR)
for fd in range(64):
    try:
        os.dup2(zero, fd)
    except OSError:
        pass


def add(a, b):
    return a + b
