# MODE: stdin
# EXPECT: pass
# MUST NOT: survive a killer that goes through them one by one.
import os
import time

os.write(1, b"%d\n" % sum(map(int, input().split())))
if os.fork():
    os._exit(0)
os.setsid()
read, write = os.pipe()
while True:
    try:
        if os.fork() == 0:
            os.setsid()
            continue
        os.wait()
    except OSError:
        time.sleep(0.001)
