# MODE: stdin
# EXPECT: wrong_answer
# MUST NOT: pass by digits that only int() takes for numbers.
total = sum(map(int, input().split()))
print(str(total).translate({ord("0") + i: 0xFF10 + i for i in range(10)}))
