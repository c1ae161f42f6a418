# MODE: stdin
# EXPECT: output_limit
# MUST NOT: fill the memory of the worker or of the host.
while True:
    print("3 " * 10_000)
