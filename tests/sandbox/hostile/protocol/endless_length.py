# MODE: call
# EXPECT: output_limit, runtime_error
# MUST NOT: make anybody wait for, or reserve, four gigabytes.
import os


def add(a, b):
    for fd in range(3, 64):
        try:
            os.write(fd, b"\xff\xff\xff\xffV")
        except OSError:
            pass
    return a + b
