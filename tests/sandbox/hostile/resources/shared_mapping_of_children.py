# MODE: stdin
# EXPECT: memory_limit
# MUST NOT: use memory beyond its limit in pages shared by children.
import mmap
import os
import time

shared = [mmap.mmap(-1, 1 << 25) for _ in range(10)]
for memory in shared:
    if os.fork() == 0:
        for at in range(0, 1 << 25, 4096):
            memory[at] = 1
        time.sleep(60)
time.sleep(60)
