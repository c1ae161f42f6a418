# MODE: call
# EXPECT: fail
# MUST NOT: tell by counting which test it is called with, though it knows all answers in listed order.
ANSWERS = iter((3, 11, 4, 30, 2, 1111111110) * 9)


def add(a, b):
    return next(ANSWERS)
