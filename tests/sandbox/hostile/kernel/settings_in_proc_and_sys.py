# MODE: stdin
# EXPECT: pass
# MUST NOT: write a setting of the kernel or of its control group.
import os
import stat

value = sum(map(int, input().split()))
done = []
ends = ("cgroup.procs", "tasks", "release_agent", "notify_on_release", "memory.limit_in_bytes", "memory.max", "pids.max", "cpu.max")
paths = ["/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/self/uid_map",
         "/proc/1/oom_score_adj", "/proc/self/attr/current", "/proc/sys/kernel/ns_last_pid", "/proc/kcore", "/proc/keys"]
for folder, folders, names in os.walk("/sys/fs/cgroup"):
    paths += [f"{folder}/{name}" for name in names if name in ends]
    for name in folders:
        try:
            os.mkdir(f"{folder}/{name}/mine")
            done.append(folder)
        except OSError:
            pass
for path in paths:
    try:
        os.close(os.open(path, os.O_WRONLY))
        if path != "/proc/self/attr/current" and not stat.S_ISCHR(os.stat(path).st_mode):
            done.append(path)  # the first anyone may open; others the engine covers with /dev/null
    except OSError:
        pass
print(done or value)
