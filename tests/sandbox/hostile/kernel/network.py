# MODE: stdin
# EXPECT: pass
# MUST NOT: resolve a name, reach an address or find an interface that is up.
import os
import socket

done = []
for address in (("127.0.0.1", 80), ("172.17.0.1", 2375), ("169.254.169.254", 80), ("1.1.1.1", 53)):
    try:
        socket.create_connection(address, 0.2)
        done.append(address)
    except OSError:
        pass
try:
    done.append(socket.getaddrinfo("example.com", 80))
except OSError:
    pass
if os.path.exists("/proc/net/route"):
    done += open("/proc/net/route").read().splitlines()[1:]
print(done or sum(map(int, input().split())))
