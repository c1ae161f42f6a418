# MODE: stdin
# EXPECT: output_limit
# MUST NOT: write beyond its limit inside one system call.
import os

zero = os.open("/dev/zero", os.O_RDONLY)
while True:
    try:
        os.splice(zero, 1, 1 << 30)
    except OSError:
        os.write(1, bytes(1 << 24))
