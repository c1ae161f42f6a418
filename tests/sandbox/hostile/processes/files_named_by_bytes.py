# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a file that the clean-up cannot name.
import os
import socket

value = sum(map(int, input().split()))
for name in (b"\xff" * 200, b"\n", b"-rf", b"\x1b[2J", b"a\\b", b" ", "\u202e".encode()):
    os.mkdir(name)
    os.mkfifo(name + b"/pipe" if len(name) < 200 else name + b"/p")
    os.chmod(name, 0o100)
server = socket.socket(socket.AF_UNIX)
server.bind("s")
os.mknod("whiteout")
print(value)
