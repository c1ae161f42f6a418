# MODE: stdin
# EXPECT: pass
# MUST NOT: block on a full pipe, or be kept in memory whole.
import sys

value = sum(map(int, input().split()))
for _ in range(300):
    sys.stderr.write("e" * 10_000)
print(value)
