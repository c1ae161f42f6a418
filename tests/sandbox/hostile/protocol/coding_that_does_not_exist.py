# MODE: stdin -*- coding: no-such-coding -*-
# EXPECT: compile_error
# MUST NOT: end in anything but the failure of its own program.
# The cookie must stand in the first two lines; this program has it there.
print(sum(map(int, input().split())))
