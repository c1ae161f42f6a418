# MODE: stdin
# EXPECT: pass
# MUST NOT: gain an identity by a set-user-id file or a capability of its own making.
import os
import shutil
import subprocess

value = sum(map(int, input().split()))
shutil.copy("/bin/sh", "sh")
os.chmod("sh", 0o6755)
try:
    said = subprocess.run(["./sh", "-c", "echo $(( 1 + 1 )); exec 3</proc/1/mem"], capture_output=True, text=True)
    found = said.returncode == 0
except OSError:
    found = False
print("opened the memory of process 1" if found else value)
