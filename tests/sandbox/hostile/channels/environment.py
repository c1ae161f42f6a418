# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a variable, an argument or a name for the next run.
import ctypes
import os
import sys

found = [name for name in os.environ if "MAILBOX" in name or "CANARY" in os.environ[name]] + sys.argv[1:]
found += [pid for pid in os.listdir("/proc") if pid.isdigit() and b"mailbox" in open(f"/proc/{pid}/comm", "rb").read()]
os.environ["MAILBOX"] = "x"
ctypes.CDLL(None).prctl(15, b"mailbox", 0, 0, 0)
print(found or sum(map(int, input().split())))
