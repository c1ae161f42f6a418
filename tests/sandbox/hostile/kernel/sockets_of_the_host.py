# MODE: stdin
# EXPECT: pass
# MUST NOT: find the engine's socket, or the worker's own.
import glob
import os
import socket
import stat

done = []
paths = ["/var/run/docker.sock", "/run/docker.sock", "/run/mars2/socket", "/run/containerd/containerd.sock"]
paths += [line.split()[7] for line in open("/proc/net/unix").readlines()[1:] if len(line.split()) > 7]
for top in ("/run", "/var", "/tmp", "/box", "/dev"):
    for folder, _, names in os.walk(top):
        paths += [os.path.join(folder, name) for name in names if stat.S_ISSOCK(os.lstat(os.path.join(folder, name)).st_mode)]
for path in paths:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        try:
            with socket.socket(socket.AF_UNIX, kind) as sock:
                sock.connect(path.replace("@", "\0", 1))
            done.append(path)
        except OSError:
            pass
print(done or sum(map(int, input().split())))
