# MODE: call
# EXPECT: fail
# MUST NOT: be taken for a pass because of its exit status.
raise SystemExit(0)
