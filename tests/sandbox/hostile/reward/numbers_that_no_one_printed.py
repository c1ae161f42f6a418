# MODE: stdin
# EXPECT: wrong_answer
# MUST NOT: pass as nan, an infinity or an overflowing literal.
print(["nan", "inf", "-inf", "1e999", "NaN"][len(input()) % 5])
