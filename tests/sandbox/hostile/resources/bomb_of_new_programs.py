# MODE: stdin
# EXPECT: fail
# MUST NOT: outlive its run by starting over in other programs.
import subprocess
import sys

line = "import subprocess, sys\nwhile True:\n    try: subprocess.Popen([sys.executable, '-S', '-c', sys.argv[1], sys.argv[1]])\n    except OSError: pass"
subprocess.run([sys.executable, "-S", "-c", line, line])
print(3)
