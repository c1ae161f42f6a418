# MODE: stdin
# EXPECT: pass
# MUST NOT: keep a message in a key.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
add, request, control = (248, 249, 250) if os.uname().machine == "x86_64" else (217, 218, 219)
done = []
for ring in (-1, -2, -3, -4, -5):
    if libc.syscall(add, b"user", b"mailbox", b"x", 1, ring) >= 0:
        done.append(("add_key", ring))
    if libc.syscall(control, 0, ring, 1) >= 0 or libc.syscall(control, 1, None) >= 0:
        done.append(("keyctl", ring))
if libc.syscall(request, b"user", b"mailbox", None, -4) >= 0:
    done.append("request_key")
print(done or sum(map(int, input().split())))
