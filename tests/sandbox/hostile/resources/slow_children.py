# MODE: stdin
# EXPECT: memory_limit, time_limit
# MUST NOT: use memory beyond its limit spread over children.
import os
import time

for _ in range(15):
    if os.fork() == 0:
        break
hoard = [bytearray(1 << 20)]
while True:
    hoard.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.01)
