# MODE: stdin
# EXPECT: fail
# MUST NOT: tell by the number of its folder which test it is run with.
import os

print((3, 11, 4, 30, 2, 1111111110)[os.stat(".").st_ino % 6])
