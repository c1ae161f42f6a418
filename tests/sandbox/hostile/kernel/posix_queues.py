# MODE: stdin
# EXPECT: pass
# MUST NOT: make a message queue, by system call or by its file system.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
try:
    if ctypes.CDLL("librt.so.1", use_errno=True).mq_open(b"/mailbox", 0o102, 0o777, None) >= 0:
        done.append("mq_open")
except OSError:
    pass
if os.uname().machine == "x86_64" and libc.syscall(240, b"mailbox", 0o102, 0o777, None) >= 0:
    done.append("mq_open")
for line in open("/proc/self/mounts"):
    if line.split()[2] in ("mqueue", "hugetlbfs", "tmpfs", "ramfs", "devpts"):
        try:
            os.close(os.open(line.split()[1] + "/mailbox", os.O_CREAT | os.O_RDWR))
            done.append(line.split()[1])
        except OSError:
            pass
print(done or sum(map(int, input().split())))
