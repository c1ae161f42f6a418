# MODE: stdin
# EXPECT: output_limit
# MUST NOT: write beyond its limit by many processes.
import os

for _ in range(10):
    if os.fork() == 0:
        break
while True:
    os.write(1, b"3\n" * 5000)
