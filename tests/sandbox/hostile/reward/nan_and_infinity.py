# MODE: call
# EXPECT: wrong_answer
# MUST NOT: equal a number.
def add(a, b):
    return float("nan") if a % 2 else float("inf")
