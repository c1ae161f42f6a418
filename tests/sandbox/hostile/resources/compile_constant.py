# MODE: stdin
# EXPECT: fail
# MUST NOT: fold a constant beyond its limits.
x = ((((2**127)**127)**127)**127)**127
print(x % 10)
