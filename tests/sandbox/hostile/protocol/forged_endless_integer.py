# MODE: call
# EXPECT: fail
# MUST NOT: make the host convert a million digits.
import os


def add(a, b):
    data = b"9" * 100_000
    for fd in range(3, 64):
        try:
            os.write(fd, len(data).to_bytes(4, "big") + b"V" + data)
            os._exit(0)
        except OSError:
            pass
