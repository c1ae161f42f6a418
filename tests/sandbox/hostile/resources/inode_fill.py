# MODE: stdin
# EXPECT: pass
# MUST NOT: leave the next run without inodes.
import os

value = sum(map(int, input().split()))
try:
    for i in range(5000):
        os.mknod(f"f{i}")
except OSError:
    pass
print(value)
