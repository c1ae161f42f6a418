# MODE: call
# EXPECT: fail
# MUST NOT: pass any test that was not shown.
def add(a, b):
    return {(1, 2): 3, (5, 6): 11}.get((a, b), 0)
