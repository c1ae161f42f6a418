# MODE: stdin
# EXPECT: pass
# MUST NOT: reach the supervisor, the zygote or another run with any signal.
import os

reached = []
pids = [1, os.getppid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())]
for pid in pids:
    if pid == os.getpid():
        continue
    for number in (0, 1, 2, 9, 15, 17, 19, 23, 34):
        for target in (pid, -pid):
            try:
                if target != -1:
                    os.kill(target, number)
                    reached.append((target, number))
            except OSError:
                pass
os.kill(-1, 9)  # says nothing of those that it was not allowed to reach
print(reached or sum(map(int, input().split())))
