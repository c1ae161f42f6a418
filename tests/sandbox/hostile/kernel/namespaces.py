# MODE: stdin
# EXPECT: pass
# MUST NOT: get a namespace of its own, in which it would be root.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000, 0x80):
    pid = os.fork()
    if pid == 0:
        os._exit(libc.unshare(flag) == 0)
    if os.waitpid(pid, 0)[1]:
        done.append(hex(flag))
    if os.uname().machine == "x86_64" and flag != 0x80:
        pid = libc.syscall(56, flag | 17, None, None, None, None)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            done.append(("clone", hex(flag)))
            os.waitpid(pid, 0)
arguments = (ctypes.c_uint64 * 11)(0x10000000, 0, 0, 0, 17)
pid = libc.syscall(435, arguments, 88)
if pid == 0:
    os._exit(0)
if pid > 0:
    done.append("clone3")
for name in ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup", "time"):
    try:
        fd = os.open(f"/proc/self/ns/{name}", os.O_RDONLY)
        if libc.setns(fd, 0) == 0:
            done.append(name)
    except OSError:
        pass
print(done or sum(map(int, input().split())))
