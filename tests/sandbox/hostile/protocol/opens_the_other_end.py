# MODE: stdin
# EXPECT: pass
# MUST NOT: open its own pipes from the other end, to steal or to forge what the worker reads.
import os

value = sum(map(int, input().split()))
own_ends = {(0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)}  # /dev/stdin and its kin: what it holds anyway
found = []
for fd in range(256):
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        try:
            os.close(os.open(f"/proc/self/fd/{fd}", mode | os.O_NONBLOCK))
        except OSError:
            continue
        if (fd, mode) not in own_ends:
            found.append((fd, mode))
print(found or value)
