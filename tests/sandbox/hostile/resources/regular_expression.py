# MODE: stdin
# EXPECT: time_limit
# MUST NOT: hide from its limit in a backtracking match.
import re

re.match(r"(a+)+$", "a" * 50 + "b")
