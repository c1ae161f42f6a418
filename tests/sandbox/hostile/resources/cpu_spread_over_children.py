# MODE: stdin
# EXPECT: time_limit
# MUST NOT: use several times its CPU limit by sharing the work.
import os
import time

children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        end = time.process_time() + 0.25
        while time.process_time() < end:
            pass
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
print(sum(map(int, input().split())))
