# MODE: stdin
# EXPECT: pass
# MUST NOT: find another job's input or program anywhere in its own memory.
import ctypes
import re

ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # dumpable again, so that /proc/self/mem may be opened
pattern = re.compile(b"CAN" + b"ARY[0-9a-f]{32}")
found = []
with open("/proc/self/mem", "rb", 0) as memory:
    for line in open("/proc/self/maps"):
        span, modes = line.split()[:2]
        if not modes.startswith("rw"):
            continue
        start, end = (int(x, 16) for x in span.split("-"))
        try:
            memory.seek(start)
            found += pattern.findall(memory.read(min(end - start, 1 << 26)))
        except (OSError, ValueError, OverflowError):
            pass
print(*found) if found else print(sum(map(int, input().split())))
