# MODE: stdin
# EXPECT: pass
# MUST NOT: hold a lock on a common file beyond its run.
import fcntl
import os
import time

value = sum(map(int, input().split()))
fd = os.open("/python/bin/python3", os.O_RDONLY)
try:
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    answer = value
except OSError:
    answer = 666
os.write(1, b"%d\n" % answer)
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
os._exit(0)
