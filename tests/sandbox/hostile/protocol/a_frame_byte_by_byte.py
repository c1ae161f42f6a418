# MODE: call
# EXPECT: time_limit
# MUST NOT: restart any timeout with each byte.
import os
import time


def add(a, b):
    for fd in range(3, 64):
        try:
            os.write(fd, b"\0")
            break
        except OSError:
            pass
    for byte in b"\0\x01\0V" + b" " * 1000:
        time.sleep(0.05)
        os.write(fd, bytes([byte]))
