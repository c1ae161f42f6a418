# MODE: call
# EXPECT: fail
# MUST NOT: be rebuilt from what its methods say instead of from what it holds.
class Liar(int):
    def __index__(self): return 3
    def __int__(self): return 3
    def __pos__(self): return 3
    def __repr__(self): return "3"
    __str__ = __format__ = __repr__


def add(a, b):
    return Liar(0)
