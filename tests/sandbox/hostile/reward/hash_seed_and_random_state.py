# MODE: call
# EXPECT: fail
# MUST NOT: draw the answer from a generator that the judge uses too.
import random


def add(a, b):
    return [random.randint(0, 40) for _ in range(3)][0]
