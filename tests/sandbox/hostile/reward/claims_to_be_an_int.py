# MODE: call
# EXPECT: fail
# MUST NOT: be taken for an int by its __class__.
class Claim:
    __class__ = property(lambda self: int)
    def __eq__(self, other): return True
    def __hash__(self): return hash(3)
    def __index__(self): return 3


def add(a, b):
    return Claim()
