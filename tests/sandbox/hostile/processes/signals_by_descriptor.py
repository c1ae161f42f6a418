# MODE: stdin
# EXPECT: pass
# MUST NOT: reach another process by pidfd, by queue or by the owner of a descriptor.
import ctypes
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
reached = []
for pid in (1, os.getppid()):
    try:
        fd = os.pidfd_open(pid)
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        reached.append(pid)
    except OSError:
        pass
    if libc.syscall(438, fd, 0, 0) >= 0:
        reached.append("pidfd_getfd")
    if libc.sigqueue(pid, 9, None) == 0:
        reached.append("sigqueue")
print(reached or sum(map(int, input().split())))
