# MODE: stdin
# EXPECT: pass
# MUST NOT: have anybody read a terabyte of nothing.
import os

value = sum(map(int, input().split()))
for i in range(50):
    fd = os.open(f"s{i}", os.O_CREAT | os.O_RDWR)
    for size in (1 << 62, 1 << 40, 63 << 20):
        try:
            os.truncate(fd, size)
            break
        except OSError:
            pass
print(value)
