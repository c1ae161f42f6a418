# MODE: stdin
# EXPECT: pass
# MUST NOT: put code where a later run imports from.
import os
import sys

value = sum(map(int, input().split()))
for folder in [*sys.path, ".", os.path.dirname(os.__file__), os.path.dirname(os.__file__) + "/__pycache__"]:
    for name in ("sitecustomize.py", "usercustomize.py", "colorsys.py", "mars2.pth", "math.py"):
        try:
            with open(os.path.join(folder, name), "w") as file:
                file.write("import os; os.write(1, b'666')")
        except OSError:
            pass
for name in ("sitecustomize", "usercustomize", "colorsys"):
    try:
        __import__(name)
    except ImportError:
        pass
print(value)
