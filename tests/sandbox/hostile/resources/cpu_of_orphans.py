# MODE: stdin
# EXPECT: time_limit
# MUST NOT: have CPU time forgotten that others than its children used.
import os
import time

while True:
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            end = time.process_time() + 0.05
            while time.process_time() < end:
                pass
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.04)
