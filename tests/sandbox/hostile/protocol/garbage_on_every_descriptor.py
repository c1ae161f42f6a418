# MODE: stdin
# EXPECT: pass
# MUST NOT: disturb the worker by bytes on descriptors that it may have inherited.
import os

for fd in range(3, 256):
    for piece in (b"\x00\x00\x00\x02ok", b"\xff" * 5000, b""):
        try:
            os.write(fd, piece)
        except OSError:
            break
print(sum(map(int, input().split())))
