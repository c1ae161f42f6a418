# MODE: stdin
# EXPECT: time_limit
# MUST NOT: wait longer than the wall limit.
import time

while True:
    time.sleep(1000)
