# MODE: stdin
# EXPECT: pass
# MUST NOT: replace its scratch folder, or make one for somebody else.
import os

value = sum(map(int, input().split()))
here = os.getcwd()
done = []
for act in (
    lambda: os.rename(here, "/box/moved"), lambda: os.rmdir(here), lambda: os.symlink("/", "/box/link"),
    lambda: os.mkdir("/box/more"), lambda: os.listdir("/box"), lambda: os.link("/python/bin/python3", "python"),
    lambda: os.chmod("/box", 0o777), lambda: os.open("/box", os.O_TMPFILE | os.O_RDWR), lambda: os.rename(here, here + "x"),
):
    try:
        done.append(act())
    except OSError:
        pass
print(done or value)
