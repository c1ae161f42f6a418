# MODE: stdin
# EXPECT: pass
# MUST NOT: keep memory in places that outlive a process.
import os

kept = []
for place in ("/dev/shm", "/dev/mqueue", "/dev", "/run", "/tmp", "/var/tmp", "/run/lock", "/run/mars2", "/sys/fs/cgroup", "/proc/self/map_files"):
    try:
        with open(f"{place}/kept", "wb") as file:
            file.write(bytes(1 << 20))
        kept.append(place)
    except OSError:
        pass
print(kept or sum(map(int, input().split())))
