# MODE: call
# EXPECT: fail
# MUST NOT: be taken for a pass because of its exit status.
import os
import threading

threading.Timer(0.05, os._exit, (0,)).start()


def add(a, b):
    while True:
        pass
