# MODE: stdin
# EXPECT: any
# MUST NOT: hold memory of the kernel beyond its limits, or after its end.
import fcntl
import os
import time

value = sum(map(int, input().split()))
try:
    for _ in range(100):
        read, write = os.pipe()
        fcntl.fcntl(write, 1031, 1 << 20)
        os.set_blocking(write, False)
        os.write(write, bytes(1 << 20))
except OSError:
    pass
print(value)
