# MODE: stdin
# EXPECT: fail
# MUST NOT: have the kernel kill the worker for want of memory instead of itself.
import ctypes
import mmap
import os
import time

prctl = ctypes.CDLL(None).prctl
gate_read, gate_write = os.pipe()
for _ in range(24):
    if os.fork() == 0:
        prctl(4, 1, 0, 0, 0)  # dumpable: the files in /proc/self become its own
        for score in ("-1000", "-500", "0"):
            try:
                with open("/proc/self/oom_score_adj", "w") as file:
                    file.write(score)
                break
            except OSError:
                pass
        memory = mmap.mmap(-1, 60 << 20)
        memory.madvise(14)  # huge pages, where there are any: the quickest way to touch much
        os.close(gate_write)
        os.read(gate_read, 1)
        for at in range(0, 60 << 20, 4096):
            memory[at] = 1
        time.sleep(60)
time.sleep(0.1)
os.close(gate_write)
time.sleep(60)
