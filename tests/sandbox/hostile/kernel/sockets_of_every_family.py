# MODE: stdin
# EXPECT: pass
# MUST NOT: have a socket of any family but the local one.
import socket

done = []
for family in range(64):
    for kind in (1, 2, 3, 4, 5, 10):
        for protocol in (0, 1, 6, 15, 16, 17, 255):
            if family != socket.AF_UNIX:
                try:
                    socket.socket(family, kind, protocol).close()
                    done.append((family, kind, protocol))
                except OSError:
                    pass
                try:
                    socket.socketpair(family, kind, protocol)
                    done.append((family, "pair"))
                except OSError:
                    pass
print(done[:50] or sum(map(int, input().split())))
