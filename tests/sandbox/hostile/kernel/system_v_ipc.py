# MODE: stdin
# EXPECT: pass
# MUST NOT: make a queue, a semaphore or shared memory that outlives it.
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
done = []
for name, call in {
    "shmget": lambda key: libc.shmget(key, 4096, 0o1777),
    "msgget": lambda key: libc.msgget(key, 0o1777),
    "semget": lambda key: libc.semget(key, 1, 0o1777),
}.items():
    done += [(name, key) for key in (0, 12345) if call(key) >= 0]
print(done or sum(map(int, input().split())))
