# MODE: call
# EXPECT: any
# MUST NOT: find, in a process for each input, what an earlier input left.
SEEN = []


def add(a, b):
    SEEN.append((a, b))
    return a + b if len(SEEN) == 1 else SEEN
