# MODE: stdin
# EXPECT: time_limit
# MUST NOT: hang the worker that waits for its end.
import os
import signal

while True:
    os.kill(os.getpid(), signal.SIGSTOP)
