# MODE: stdin
# EXPECT: fail
# MUST NOT: dump core, or be reported as anything but a failure.
import ctypes

crash = ctypes.CFUNCTYPE(None)
deep = crash(lambda: deep())
deep()
print(3)
