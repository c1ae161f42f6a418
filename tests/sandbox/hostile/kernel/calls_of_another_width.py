# MODE: stdin
# EXPECT: pass
# MUST NOT: get round the filter by the 32-bit or the x32 way into the kernel.
import ctypes
import mmap
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
if os.uname().machine == "x86_64":
    pid = os.fork()
    if pid == 0:
        os._exit(7 if libc.syscall(0x40000000 | 39) == os.getpid() else 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7:
        done.append("x32")
    pid = os.fork()
    if pid == 0:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
        answer = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(7 if answer == os.getpid() else 0)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7:
        done.append("int 0x80")
print(done or sum(map(int, input().split())))
