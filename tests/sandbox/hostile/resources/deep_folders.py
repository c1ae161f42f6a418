# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a folder that cannot be removed.
import os

value = sum(map(int, input().split()))
top = os.getcwd()
for i in range(300):
    os.mkdir("d" * 200)
    open("f", "w").close()
    os.chdir("d" * 200)
for _ in range(300):
    os.chdir("..")
    os.chmod("d" * 200, 0)
os.chmod(top, 0)
print(value)
