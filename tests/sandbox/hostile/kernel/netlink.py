# MODE: stdin
# EXPECT: pass
# MUST NOT: listen to or speak with the kernel by netlink.
import socket

done = []
for protocol in range(23):
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as link:
            link.bind((0, 0xFFFFFFFF))
        done.append(protocol)
    except OSError:
        pass
print(done or sum(map(int, input().split())))
