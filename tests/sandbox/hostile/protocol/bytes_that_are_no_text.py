# MODE: stdin
# EXPECT: wrong_answer
# MUST NOT: raise on the host when decoded.
import os

os.write(1, b"\xff\xfe\x00\xed\xa0\x80" + str(sum(map(int, input().split()))).encode() + b"\n")
