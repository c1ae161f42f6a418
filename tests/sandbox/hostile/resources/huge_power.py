# MODE: stdin
# EXPECT: time_limit
# MUST NOT: hide from its limit in one long operation.
print(7 ** (10**8) % 10)
