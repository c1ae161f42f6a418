# MODE: stdin
# EXPECT: time_limit
# MUST NOT: hide from its limit in one long conversion.
import sys

sys.set_int_max_str_digits(0)
print(len(str((1 << (10**8)) - 1)))
