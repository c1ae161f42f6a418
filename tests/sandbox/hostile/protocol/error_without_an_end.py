# MODE: call
# EXPECT: runtime_error, time_limit, memory_limit
# MUST NOT: make the report of an error as large or as deep as it likes.
class Deep(Exception):
    def __str__(self):
        return "x" * 30_000_000


def add(a, b):
    error = Deep()
    for _ in range(2000):
        error, error.__cause__ = Deep(), error
    raise error
