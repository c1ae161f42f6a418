# MODE: stdin
# EXPECT: pass
# MUST NOT: read or write the memory of another process.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(64)
vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
done = []
for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
    for name in (libc.process_vm_readv, libc.process_vm_writev):
        if name(pid, vector, 1, vector, 1, 0) >= 0:
            done.append(pid)
    if pid != os.getpid():
        for file, mode in (("mem", "rb"), ("mem", "r+b"), ("environ", "rb"), ("maps", "rb"), ("auxv", "rb"), ("pagemap", "rb"), ("stack", "rb")):
            try:
                with open(f"/proc/{pid}/{file}", mode) as opened:
                    if opened.read(1):
                        done.append((pid, file))
            except OSError:
                pass
print(done or sum(map(int, input().split())))
