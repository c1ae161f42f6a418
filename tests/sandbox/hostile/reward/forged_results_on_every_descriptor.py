# MODE: call
# EXPECT: fail
# MUST NOT: have more than one answer for one call.
import os


def add(a, b):
    for fd in range(256):
        for guess in (b"3", b"11", b"4", b"30", b"2", b"true"):
            try:
                os.write(fd, len(guess).to_bytes(4, "big") + b"V" + guess)
            except OSError:
                break
    return 0
