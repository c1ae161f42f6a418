# MODE: stdin
# EXPECT: fail
# MUST NOT: outlive its run or take the worker's processes.
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
