# MODE: call
# EXPECT: pass
# MUST NOT: find an earlier job's input or program in its own memory.
import ctypes
import re

ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
pattern = re.compile(b"CAN" + b"ARY[0-9a-f]{32}")


def add(a, b):
    found = []
    with open("/proc/self/mem", "rb", 0) as memory:
        for line in open("/proc/self/maps"):
            span, modes = line.split()[:2]
            if modes.startswith("rw"):
                start, end = (int(x, 16) for x in span.split("-"))
                try:
                    memory.seek(start)
                    found += pattern.findall(memory.read(min(end - start, 1 << 26)))
                except (OSError, ValueError, OverflowError):
                    pass
    return found or a + b
