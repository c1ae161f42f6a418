# MODE: call
# EXPECT: fail
# MUST NOT: be compared by an operator of its own.
class Everything(dict):
    def __eq__(self, other): return True
    def __len__(self): return 1
    def items(self): return [(3, 3)]
    def __hash__(self): return 0


def add(a, b):
    return Everything()
