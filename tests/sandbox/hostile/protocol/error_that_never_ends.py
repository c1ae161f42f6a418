# MODE: stdin
# EXPECT: time_limit
# MUST NOT: keep the report of an error going beyond its limits.
class Endless(Exception):
    def __str__(self):
        while True:
            pass


raise Endless
