# MODE: call
# EXPECT: fail
# MUST NOT: make the encoder run for ever.
def add(a, b):
    value = {}
    value["self"] = [value, (value,)]
    return value
