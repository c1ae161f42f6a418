# MODE: call
# EXPECT: fail
# MUST NOT: be taken for a stream of answers.
import os


def add(a, b):
    for _ in range(2000):
        os.write(fd, b"\0\0\0\0V")
    return a + b


for fd in range(3, 64):
    try:
        os.write(fd, b"")
        break
    except OSError:
        pass
