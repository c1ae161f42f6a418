# MODE: stdin
# EXPECT: time_limit
# MUST NOT: use several times its CPU limit in threads outside the interpreter's lock.
import hashlib
import threading

data = bytes(1 << 22)


def work():
    while True:
        hashlib.sha256(data)


for _ in range(4):
    threading.Thread(target=work).start()
