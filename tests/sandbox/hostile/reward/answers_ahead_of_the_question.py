# MODE: call
# EXPECT: fail
# MUST NOT: have an answer taken for an input that it has not read.
import os
import threading
import time


def ahead():
    for _ in range(20):
        time.sleep(0.005)
        for fd in range(3, 64):
            try:
                os.write(fd, (1).to_bytes(4, "big") + b"V3")
            except OSError:
                pass


def add(a, b):
    threading.Thread(target=ahead, daemon=True).start()
    return 3
