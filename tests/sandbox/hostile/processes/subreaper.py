# MODE: stdin
# EXPECT: pass
# MUST NOT: keep its orphans from the supervisor.
import ctypes
import os
import time

os.write(1, b"%d\n" % sum(map(int, input().split())))
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    for _ in range(5):
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(60)
            os._exit(0)
    time.sleep(60)
os._exit(0)
