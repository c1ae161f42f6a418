# MODE: stdin
# EXPECT: memory_limit, time_limit
# MUST NOT: make the worker the largest process when the kernel looks for one to kill.
import os
import sys
import time

CHILD = """
import os, time
try:
    with open("/proc/self/oom_score_adj", "w") as file: file.write("0")
except OSError: pass
files = [os.memfd_create("x") for _ in range(8)]
block = bytes(1 << 18)
os.read(%d, 1)
while True:
    for fd in files:
        try: os.write(fd, block)
        except OSError: time.sleep(0.01)
"""
gate_read, gate_write = os.pipe()
os.set_inheritable(gate_read, True)
line = [sys.executable, "-S", "-E", "-c", CHILD % gate_read]
try:
    for _ in range(60):
        if os.fork() == 0:
            os.close(gate_write)
            os.execv(sys.executable, line)
except OSError:
    pass
time.sleep(0.6)
os.close(gate_write)
os.execv(sys.executable, line)
