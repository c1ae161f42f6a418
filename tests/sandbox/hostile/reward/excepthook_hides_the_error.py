# MODE: stdin
# EXPECT: fail
# MUST NOT: turn an uncaught exception into a success.
import os
import sys

sys.excepthook = sys.unraisablehook = lambda *error: os._exit(0)
raise ValueError
