# MODE: stdin
# EXPECT: pass
# MUST NOT: find tests, answers or the judge's code in the file system.
import os
import re

found = []
pattern = re.compile(b"CAN" + b"ARY[0-9a-f]{32}")
for top in ("/box", "/run", "/tmp", "/var", "/etc", "/home", "/root", "/mnt", "/srv", "/opt", "/dev/shm", "/proc/self/cwd"):
    for folder, _, names in os.walk(top):
        for name in names:
            if re.search(r"test|hidden|expected|answer|judge|problem|\.jsonl", name):
                found.append(os.path.join(folder, name))
            try:
                with open(os.path.join(folder, name), "rb") as file:
                    found += pattern.findall(file.read(1 << 20))
            except OSError:
                pass
print(*found) if found else print(sum(map(int, input().split())))
