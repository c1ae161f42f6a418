# MODE: stdin
# EXPECT: pass
# MUST NOT: make or open a device beyond the harmless ones.
import fcntl
import os
import stat

value = sum(map(int, input().split()))
done = []
for major, minor in ((1, 1), (1, 2), (8, 0), (10, 200), (10, 229), (5, 1)):
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        try:
            os.mknod("device", kind | 0o666, os.makedev(major, minor))
            done.append((major, minor))
        except OSError:
            pass
harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx"}
for folder, _, names in os.walk("/dev"):
    for name in set(names) - harmless:
        if not os.path.islink(f"{folder}/{name}"):
            try:
                os.close(os.open(f"{folder}/{name}", os.O_RDWR | os.O_NONBLOCK))
                done.append(f"{folder}/{name}")
            except OSError:
                pass
for request in (0x5412, 0x540E, 0x5423, 0x80045430):  # TIOCSTI, TIOCSCTTY, TIOCSETD, TIOCGPTN
    for path in ("/dev/ptmx", "/dev/null"):
        try:
            fcntl.ioctl(os.open(path, os.O_RDWR | os.O_NOCTTY), request, b"x" * 8)
            done.append(hex(request))
        except OSError:
            pass
print(done or value)
