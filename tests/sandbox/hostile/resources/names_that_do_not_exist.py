# MODE: stdin
# EXPECT: any
# MUST NOT: use memory of the kernel for entries of no file.
import os
import time

value = sum(map(int, input().split()))
end = time.process_time() + 0.3
i = 0
while time.process_time() < end:
    i += 1
    try:
        os.stat(f"none{i}" + "x" * 200)
    except OSError:
        pass
print(value)
