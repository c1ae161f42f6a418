# MODE: call
# EXPECT: fail
# MUST NOT: be unpickled by anybody.
class Payload:
    def __reduce__(self):
        return (__import__("os").system, ("touch /tmp/mars2-was-here",))
    __reduce_ex__ = lambda self, version: self.__reduce__()
    def __json__(self): return 3
    def __getstate__(self): return 3


def add(a, b):
    return Payload()
