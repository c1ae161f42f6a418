# MODE: stdin
# EXPECT: time_limit
# MUST NOT: survive its limit by catching what should end it.
import signal

for number in range(1, 65):
    try:
        signal.signal(number, lambda *a: None)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
