# MODE: call
# EXPECT: fail
# MUST NOT: make the host build a table in quadratic time.
import os


def add(a, b):
    step = 2**61 - 1
    data = ('{"s":[' + ",".join('{"i":"%x"}' % (step * (i + 1)) for i in range(5000)) + "]}").encode()
    for fd in range(3, 64):
        try:
            os.write(fd, len(data).to_bytes(4, "big") + b"V" + data)
            os._exit(0)
        except OSError:
            pass
