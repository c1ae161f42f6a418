# MODE: stdin
# EXPECT: pass
# MUST NOT: import the code of the judge or of the worker.
found = []
for name in ("mars2_env", "mars2_env.judge", "mars2_env.sandbox.worker.supervisor", "__main__.boot", "pytest"):
    try:
        found.append(__import__(name, fromlist=["*"]).__name__)
    except ImportError:
        pass
print(*found) if found else print(sum(map(int, input().split())))
