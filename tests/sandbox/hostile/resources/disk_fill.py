# MODE: stdin
# EXPECT: pass
# MUST NOT: leave a byte of it to the next run.
value = sum(map(int, input().split()))
try:
    for i in range(100):
        with open(f"f{i}", "wb") as file:
            file.write(bytes(4 << 20))
except OSError:
    pass
print(value)
