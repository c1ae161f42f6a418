# MODE: stdin
# EXPECT: pass
# MUST NOT: do by a ring what the filter of system calls denies.
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
done = [number for number in (425, 426, 427) if libc.syscall(number, 8, parameters, 0, 0, 0, 0) >= 0]
print(done or sum(map(int, input().split())))
