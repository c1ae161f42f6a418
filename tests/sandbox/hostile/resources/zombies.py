# MODE: stdin
# EXPECT: pass
# MUST NOT: leave dead processes behind.
import os

value = sum(map(int, input().split()))
for _ in range(40):
    try:
        child = os.fork() == 0
    except OSError:
        break
    if child:
        try:
            os.fork()
        finally:
            os._exit(0)
os.write(1, b"%d\n" % value)
os._exit(0)
