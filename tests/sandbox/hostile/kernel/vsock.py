# MODE: stdin
# EXPECT: pass
# MUST NOT: reach the host of a virtual machine.
import socket

done = []
for cid in (1, 2, 0xFFFFFFFF):
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.2)
            done.append(cid)
            sock.connect((cid, 22))
    except OSError:
        pass
print(done or sum(map(int, input().split())))
