# MODE: stdin
# EXPECT: pass
# MUST NOT: be told by the kernel what happens in folders that it shares with other runs.
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init()
done = [path for path in (b"/box", b"/run/mars2", b"/proc/1", b"/proc/1/fd") if libc.inotify_add_watch(fd, path, 0xFFF) >= 0 and path == b"/box"]
print(done or sum(map(int, input().split())))
