# MODE: stdin
# EXPECT: runtime_error
# MUST NOT: pass by an output that was right when it died.
import os

os.write(1, b"%d\n" % sum(map(int, input().split())))
os.kill(os.getpid(), 34)
