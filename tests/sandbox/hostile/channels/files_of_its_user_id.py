# MODE: stdin
# EXPECT: pass
# MUST NOT: find anything that an earlier bearer of its user id has left.
import os

found = []
for folder, names, files in os.walk("/"):
    if folder.startswith(("/proc", "/sys")):
        names.clear()
        continue
    for name in names + files:
        path = os.path.join(folder, name)
        if os.lstat(path).st_uid == os.getuid() and path != os.getcwd():
            found.append(path)
print(found or sum(map(int, input().split())))
