# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a file for the next run, or find one.
import os

value = sum(map(int, input().split()))
found = []
for folder, _, names in os.walk("/"):
    if folder.startswith(("/proc/", "/sys/")):
        continue
    if "message.mars2" in names:
        found.append(folder)
for folder in ("/", "/box", "/tmp", "/run", "/dev", "/dev/shm", "/python", "/python/lib", "/bin", "/etc", "/run/mars2", os.getcwd(), ".."):
    try:
        open(f"{folder}/message.mars2", "w").close()
    except OSError:
        pass
print(found or value)
