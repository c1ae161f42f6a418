# MODE: stdin
# EXPECT: any
# MUST NOT: be waited for after the main process has ended.
import os
import time

value = sum(map(int, input().split()))
if os.fork():
    os._exit(0)
time.sleep(0.05)
os.write(1, b"%d\n" % value)
time.sleep(60)
