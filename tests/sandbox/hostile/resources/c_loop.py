# MODE: stdin
# EXPECT: time_limit
# MUST NOT: hide from its limit in a loop without bytecode, with signals off.
import itertools
import signal

signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
sum(itertools.repeat(0))
