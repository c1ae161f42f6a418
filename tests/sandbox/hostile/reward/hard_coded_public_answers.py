# MODE: stdin
# EXPECT: fail
# MUST NOT: pass any test that was not shown.
print({"1 2": 3, "5 6": 11}[input().strip()])
