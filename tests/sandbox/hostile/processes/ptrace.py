# MODE: stdin
# EXPECT: pass
# MUST NOT: trace any process, not even itself.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = [
    (request, pid)
    for request, pid in ((0, 0), (16, 1), (16, os.getppid()), (0x4206, 1), (0x4206, os.getppid()))
    if libc.ptrace(request, pid, None, None) == 0
]
print(done or sum(map(int, input().split())))
