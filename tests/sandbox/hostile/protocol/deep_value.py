# MODE: call
# EXPECT: fail
# MUST NOT: exhaust the recursion of the encoder or of the host's parser.
def add(a, b):
    value = []
    for _ in range(100_000):
        value = [value]
    return value
