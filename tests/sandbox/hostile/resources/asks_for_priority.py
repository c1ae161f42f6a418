# MODE: stdin
# EXPECT: time_limit
# MUST NOT: run before others, or raise a limit of its own.
import os
import resource

for kind in range(16):
    for value in (resource.RLIM_INFINITY, 1 << 40):
        try:
            resource.setrlimit(kind, (value, value))
        except (OSError, ValueError):
            pass
for act in (
    lambda: os.setpriority(os.PRIO_USER, 0, -20),
    lambda: os.nice(-20),
    lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99)),
):
    try:
        act()
        print("raised", flush=True)
    except OSError:
        pass
while True:
    pass
