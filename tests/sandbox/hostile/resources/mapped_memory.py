# MODE: stdin
# EXPECT: memory_limit
# MUST NOT: use memory beyond its limit by many mappings.
import mmap

maps = []
while True:
    maps.append(mmap.mmap(-1, 1 << 24))
    for at in range(0, 1 << 24, 4096):
        maps[-1][at] = 1
