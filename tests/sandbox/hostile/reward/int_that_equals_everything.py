# MODE: call
# EXPECT: fail
# MUST NOT: be compared by an operator of its own.
class Anything(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0


def add(a, b):
    return Anything(0)
