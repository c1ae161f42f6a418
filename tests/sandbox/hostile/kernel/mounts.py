# MODE: stdin
# EXPECT: pass
# MUST NOT: mount, unmount or change its root.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
done = []
here = os.getcwd().encode()
for name, call in {
    "mount": lambda: libc.mount(b"none", here, b"tmpfs", 0, None),
    "bind": lambda: libc.mount(b"/proc", here, None, 4096, None),
    "remount": lambda: libc.mount(None, b"/", None, 32, None),
    "umount": lambda: libc.umount2(b"/proc", 2),
    "chroot": lambda: libc.chroot(here),
    "pivot_root": lambda: libc.syscall(155, here, here),
    "fsopen": lambda: libc.syscall(430, b"tmpfs", 0),
    "open_tree": lambda: libc.syscall(428, -100, b"/", 1),
    "move_mount": lambda: libc.syscall(429, -1, b"", -1, b"", 0),
    "mount_setattr": lambda: libc.syscall(442, -100, b"/", 0, None, 0),
    "name_to_handle_at": lambda: libc.name_to_handle_at(-100, b"/", ctypes.create_string_buffer(256), ctypes.create_string_buffer(8), 0),
}.items():
    if call() >= 0:
        done.append(name)
print(done or sum(map(int, input().split())))
