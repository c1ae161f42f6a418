# MODE: stdin
# EXPECT: pass
# MUST NOT: open, duplicate or list a descriptor or folder of another process.
import os

done = []
for pid in (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
    for what in ("fd", "root", "cwd", "map_files", "task/" + pid + "/fd", "fdinfo", "ns"):
        try:
            found = os.listdir(f"/proc/{pid}/{what}")
            if what not in ("ns",):
                done.append((pid, what, found))
        except OSError:
            pass
    for link in ("exe", "fd/0", "fd/3", "ns/user"):
        try:
            done.append((pid, os.readlink(f"/proc/{pid}/{link}")))
        except OSError:
            pass
print(done or sum(map(int, input().split())))
