# MODE: stdin
# EXPECT: wrong_answer
# MUST NOT: pass because the right answer is somewhere in the output.
print(*range(-100, 100), 1111111110)
