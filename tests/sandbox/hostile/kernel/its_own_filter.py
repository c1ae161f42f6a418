# MODE: stdin
# EXPECT: pass
# MUST NOT: weaken the filter of system calls by one of its own.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
code = (ctypes.c_uint64 * 1)(0x7FFF000000000006)  # allow everything
program = (ctypes.c_uint64 * 2)(1, ctypes.addressof(code))
libc.prctl(38, 1, 0, 0, 0)
libc.prctl(22, 2, program, 0, 0)
done = [libc.unshare(0x10000000) == 0, libc.shmget(0, 4096, 0o1777) >= 0, libc.prctl(38, 0, 0, 0, 0) == 0]
print(done) if any(done) else print(sum(map(int, input().split())))
