# MODE: stdin
# EXPECT: pass
# MUST NOT: change limits, priority or processors of a process that waits for the next run.
import os
import resource

done = []
for pid in (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
    for act in (
        lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),
        lambda: resource.prlimit(pid, resource.RLIMIT_AS),
        lambda: os.sched_setaffinity(pid, {0}),
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        lambda: os.setpgid(pid, os.getpid()),
        lambda: os.write(os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY), b"1000"),
        lambda: os.write(os.open(f"/proc/{pid}/comm", os.O_WRONLY), b"x"),
        lambda: os.write(os.open(f"/proc/{pid}/timerslack_ns", os.O_WRONLY), b"1000000000"),
    ):
        try:
            act()
            done.append(pid)
        except OSError:
            pass
print(done or sum(map(int, input().split())))
