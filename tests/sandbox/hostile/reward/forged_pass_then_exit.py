# MODE: call
# EXPECT: fail
# MUST NOT: count as passed by a frame and exit status 0.
import os

for fd in range(3, 64):
    try:
        os.write(fd, (4).to_bytes(4, "big") + b"Vtrue")
    except OSError:
        pass
os._exit(0)
