# MODE: stdin
# EXPECT: pass
# MUST NOT: take an identity, a group or a capability that it was not given.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
uid = os.getuid()
for other in (0, 1, uid + 1, uid - 1, 65534):
    for act in (
        lambda: os.setuid(other), lambda: os.setreuid(other, other), lambda: os.setresuid(other, -1, -1),
        lambda: os.setresuid(-1, -1, other), lambda: os.setgid(other), lambda: os.setresgid(other, other, other),
        lambda: os.setgroups([other]), lambda: os.chown(".", other, other), lambda: os.initgroups("root", other),
    ):
        try:
            act()
            done.append(other)
        except OSError:
            pass
    libc.setfsuid(other)
    if libc.setfsuid(-1) != uid:
        done.append("fsuid")
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
if libc.capset(header, data) == 0:
    done.append("capset")
libc.capget(header, data)
done += [bits for bits in data if bits]
with open("/proc/self/status") as status:
    done += [line for line in status if line.startswith(("CapPrm", "CapEff", "CapAmb")) and int(line.split()[1], 16)]
for folder in ("/bin", "/python/bin", "/usr/bin", "/sbin"):
    if os.path.isdir(folder):
        done += [name for name in os.listdir(folder) if os.stat(f"{folder}/{name}").st_mode & 0o6000]
print(done or sum(map(int, input().split())))
