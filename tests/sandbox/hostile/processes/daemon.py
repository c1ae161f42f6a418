# MODE: stdin
# EXPECT: pass
# MUST NOT: live on after its run, or be waited for.
import os
import time

os.write(1, b"%d\n" % sum(map(int, input().split())))
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.01)
            open(f"alive{time.monotonic_ns() % 100}", "w").close()
    os._exit(0)
os._exit(0)
