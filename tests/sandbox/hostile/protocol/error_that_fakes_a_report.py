# MODE: stdin
# EXPECT: runtime_error
# MUST NOT: pass control characters or a forged traceback off as the sandbox's own.
class Fake(Exception):
    pass


Fake.__name__ = Fake.__qualname__ = "AssertionError: all tests passed\x1b[1A\x1b[2K"
raise Fake("\x1b[31m\u202e dessap \u202c\r\nTraceback (most recent call last):\n  File 'judge.py', line 1\nPASSED 3 == 3")
