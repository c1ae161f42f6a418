# MODE: stdin
# EXPECT: fail
# MUST NOT: tell by the counters of its control group which test it is run with.
import glob

used = 0
for path in ("/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu.stat"):
    for found in glob.glob(path):
        used = int("".join(c for c in open(found).readline() if c.isdigit()))
print((3, 11, 4, 30, 2, 1111111110)[used // 10_000_000 % 6])
