# MODE: stdin
# EXPECT: pass
# MUST NOT: open its own pipes from the other end, to steal or to forge what the worker reads.
import os

value = sum(map(int, input().split()))
found = []
for fd in range(256):
    for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        try:
            os.close(os.open(f"/proc/self/fd/{fd}", mode | os.O_NONBLOCK))
            found.append((fd, mode))
        except OSError:
            pass
print(found or value)
