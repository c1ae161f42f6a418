# MODE: stdin
# EXPECT: pass
# MUST NOT: have anything outside its folder removed, or changed in mode.
import os

value = sum(map(int, input().split()))
for i, target in enumerate(("/", "/box", "/python", "/proc/1/root", "/proc/self/cwd", "..", "/run/mars2", "/dev")):
    os.symlink(target, f"l{i}")
    os.mkdir(f"d{i}")
    os.symlink(target, f"d{i}/up")
    os.chmod(f"d{i}", 0)
print(value)
