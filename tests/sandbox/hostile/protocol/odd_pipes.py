# MODE: stdin
# EXPECT: pass
# MUST NOT: block or signal the worker by the modes and sizes of its pipes.
import fcntl
import os

value = sum(map(int, input().split()))
for fd in (0, 1, 2, 3, 4, 5):
    for command, argument in ((1031, 4096), (1031, 1 << 20), (fcntl.F_SETOWN, 1), (fcntl.F_SETSIG, 9), (1024, 0), (1026, 31)):
        try:
            fcntl.fcntl(fd, command, argument)
        except OSError:
            pass
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC | os.O_DIRECT)
    except OSError:
        pass
print(value)
