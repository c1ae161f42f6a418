# MODE: call
# EXPECT: wrong_answer
# MUST NOT: have its text formatted as a template or reach a terminal raw when shown.
def add(a, b):
    return "{0.__class__.__mro__} {expected} %s %(test)s $HOME \x1b[2J\x1b]0;title\x07 \u202e\u2066 {{7*7}} <script>"
