# MODE: stdin
# EXPECT: time_limit, memory_limit
# MUST NOT: be compiled outside its limits.
exec("x = [" + "{'a': (1, 2, 3), **{}}, " * 2_000_000 + "]")
