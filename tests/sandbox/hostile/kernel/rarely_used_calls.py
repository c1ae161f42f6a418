# MODE: stdin
# EXPECT: pass
# MUST NOT: reach parts of the kernel that no program of this kind needs.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(256)
calls = {
    "bpf": (321, 0, buffer, 72), "perf_event_open": (298, buffer, 0, -1, -1, 0), "userfaultfd": (323, 1),
    "kcmp": (312, os.getpid(), os.getpid(), 0, 0, 0), "fanotify_init": (300, 0, 0), "io_setup": (206, 1, buffer),
    "seccomp": (317, 2, 0, buffer), "landlock": (444, None, 0, 1), "pkey_alloc": (330, 0, 0),
    "memfd_secret": (447, 0), "quotactl": (179, 0, None, 0, None), "modify_ldt": (154, 0, buffer, 16),
    "vmsplice": (278, 1, None, 0, 0), "process_madvise": (440, 0, None, 0, 0, 0), "mbind": (237, 0, 0, 0, None, 0, 0),
    "migrate_pages": (256, 0, 0, None, None), "syslog": (103, 10, None, 0), "init_module": (175, buffer, 1, buffer),
    "kexec_load": (246, 0, 0, None, 0), "iopl": (172, 3), "setdomainname": (171, b"x", 1), "sethostname": (170, b"x", 1),
    "settimeofday": (164, buffer, None), "clock_settime": (227, 0, buffer), "adjtimex": (159, buffer),
    "swapon": (167, b"x", 0), "acct": (163, None), "setxattr": (188, b".", b"user.x", b"x", 1, 0),
    "listmount": (458, buffer, buffer, 1, 0), "statmount": (457, buffer, buffer, 256, 0), "map_shadow_stack": (453, 0, 4096, 0),
    "cachestat": (451, 0, buffer, buffer, 0), "lookup_dcookie": (212, 0, buffer, 256), "remap_file_pages": (216, 0, 0, 0, 0, 0),
}
done = []
if os.uname().machine == "x86_64":
    done = [name for name, (number, *arguments) in calls.items() if libc.syscall(number, *arguments) >= 0]
print(done or sum(map(int, input().split())))
