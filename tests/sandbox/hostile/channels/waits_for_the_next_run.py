# MODE: stdin
# EXPECT: pass
# MUST NOT: meet the next run from a process that stayed behind.
import os
import time

os.write(1, b"%d\n" % sum(map(int, input().split())))
if os.fork() == 0:
    os.setsid()
    known = set(os.listdir("/proc"))
    while True:
        for pid in set(os.listdir("/proc")) - known:
            try:
                os.kill(int(pid), 9)
                open(f"/proc/{pid}/fd/1", "w").write("666")
            except (OSError, ValueError):
                pass
os._exit(0)
