# MODE: stdin
# EXPECT: time_limit
# MUST NOT: get a new CPU limit by running another program in its process.
import os
import sys

os.execv(sys.executable, [sys.executable, "-S", "-c", "while True: pass"])
