# MODE: call
# EXPECT: fail
# MUST NOT: make type checks of the judge say yes.
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __subclasscheck__(cls, other): return True
    def __eq__(cls, other): return True
    def __hash__(cls): return 0


class Any(metaclass=Meta):
    pass


def add(a, b):
    return Any
