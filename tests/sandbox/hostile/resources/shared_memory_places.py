# MODE: stdin
# EXPECT: pass
# MUST NOT: keep memory in places that outlive a process.
import os

kept = []
scratch = os.getcwd()
for place in ("/dev/shm", "/dev/mqueue", "/dev", "/run", "/tmp", "/var/tmp", "/run/lock", "/run/mars2", "/sys/fs/cgroup", "/proc/self/map_files"):
    try:
        if os.path.exists(f"{place}/kept"):
            kept.append(f"{place}, by an earlier run")
        with open(f"{place}/kept", "wb") as file:
            file.write(bytes(1 << 20))
        # What is in the scratch folder goes with the run, by whatever name; the rest would stay.
        if os.path.realpath(place) != scratch:
            kept.append(place)
    except OSError:
        pass
print(kept or sum(map(int, input().split())))
