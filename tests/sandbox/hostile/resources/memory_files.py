# MODE: stdin
# EXPECT: memory_limit
# MUST NOT: use memory beyond its limit in files that no process maps.
import os
import time

block = bytes(1 << 20)
for i in range(64):
    fd = os.memfd_create(f"m{i}")
    for _ in range(60):
        os.write(fd, block)
time.sleep(60)
