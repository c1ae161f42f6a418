# MODE: stdin
# EXPECT: pass
# MUST NOT: lead the clean-up out of the scratch folder by a link.
import os

os.write(1, b"%d\n" % sum(map(int, input().split())))
if os.fork() == 0:
    while True:
        try:
            os.mkdir("a")
            os.mkdir("a/b")
            os.rename("a", "c")
            os.symlink("/", "a")
            os.rename("a", "d")
            os.unlink("d")
            os.rmdir("c/b")
            os.rmdir("c")
        except OSError:
            pass
os._exit(0)
