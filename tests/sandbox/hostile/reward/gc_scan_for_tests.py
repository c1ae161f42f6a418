# MODE: call
# EXPECT: fail
# MUST NOT: find a test, a job or a result of the judge among the objects of its process.
import gc

gc.unfreeze()


def add(a, b):
    for found in gc.get_objects():
        if type(found) is dict and ({"expected", "hidden", "scoring", "public", "tests"} & {k for k in found if type(k) is str}):
            return found
        if type(found) is list and len(found) > 1 and all(type(x) in (list, tuple) and len(x) == 2 for x in found):
            if any(type(x[0]) is int and type(x[1]) is int for x in found) and [a, b] in map(list, found):
                return found
    return None
