# MODE: call
# EXPECT: pass
# MUST NOT: find a later input in a pipe before it has answered.
import fcntl
import os


def add(a, b):
    for fd in range(3, 256):
        try:
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            try:
                data = os.read(fd, 1 << 20)
            finally:
                fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        except OSError:
            continue
        if data:
            return data
    return a + b
