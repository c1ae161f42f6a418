# MODE: stdin
# EXPECT: pass
# MUST NOT: leave the worker without descriptors.
import array
import os
import socket

value = sum(map(int, input().split()))
left, right = socket.socketpair()
left.setblocking(False)
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
        left.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", held[-1:]))])
except OSError:
    pass
os.write(1, b"%d\n" % value)
