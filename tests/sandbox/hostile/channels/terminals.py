# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a message in a pseudo terminal, or hold one.
import os

value = sum(map(int, input().split()))
held = []
try:
    for _ in range(8):
        held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError:
    pass
found = [name for name in (os.listdir("/dev/pts") if os.path.isdir("/dev/pts") else []) if name != "ptmx"]
for name in found:
    try:
        os.write(os.open(f"/dev/pts/{name}", os.O_RDWR | os.O_NOCTTY), b"message")
    except OSError:
        pass
print(value if len(found) <= len(held) else found)
