# MODE: call
# EXPECT: fail
# MUST NOT: slip through a tolerance by its own arithmetic.
class Near(float):
    def __sub__(self, other): return 0.0
    def __rsub__(self, other): return 0.0
    def __abs__(self): return 0.0
    def __eq__(self, other): return True
    def __le__(self, other): return True
    def __float__(self): return 3.0


def add(a, b):
    return Near("nan")
