# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a listener under a name for the next run.
import os
import socket
import time

value = sum(map(int, input().split()))
found = False
with socket.socket(socket.AF_UNIX) as caller:
    try:
        caller.connect("\0mars2-mailbox")
        found = True
    except OSError:
        pass
server = socket.socket(socket.AF_UNIX)
server.bind("\0mars2-mailbox")
server.listen()
os.write(1, b"666\n" if found else b"%d\n" % value)
if os.fork() == 0:
    os.setsid()
    time.sleep(60)
os._exit(0)
