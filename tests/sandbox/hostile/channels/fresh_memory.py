# MODE: stdin
# EXPECT: pass
# MUST NOT: be given pages, buffers or descriptors that still hold another run's bytes.
import mmap
import os
import re

pattern = re.compile(b"CAN" + b"ARY[0-9a-f]{32}")
found = []
for _ in range(8):
    found += pattern.findall(mmap.mmap(-1, 8 << 20)[:])
fd = os.memfd_create("m")
os.truncate(fd, 8 << 20)
found += pattern.findall(os.pread(fd, 8 << 20, 0))
with open("f", "wb+") as file:
    file.truncate(8 << 20)
    found += pattern.findall(file.read())
print(found or sum(map(int, input().split())))
