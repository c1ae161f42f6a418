# MODE: stdin
# EXPECT: pass
# MUST NOT: hold more threads than its limit, or keep any.
import os
import threading
import time

value = sum(map(int, input().split()))
threads = 0
try:
    while threads < 500:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        threads += 1
except RuntimeError:
    pass
os.write(1, b"%d\n" % (value if threads < 64 else -1))
os._exit(0)
