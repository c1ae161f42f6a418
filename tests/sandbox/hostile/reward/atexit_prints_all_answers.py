# MODE: stdin
# EXPECT: fail
# MUST NOT: have one of several answers chosen for it.
import atexit
import sys


class Late:
    def __del__(self):
        sys.__stdout__.write("30 2 1111111110\n")


late = Late()
atexit.register(print, "3\n11\n4")
