# MODE: stdin
# EXPECT: pass
# MUST NOT: fight the clean-up with signals it is allowed to send.
import os
import signal

os.write(1, b"%d\n" % sum(map(int, input().split())))
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    pass
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                os.kill(-1, signal.SIGSTOP)
                os.kill(-1, signal.SIGCONT)
                os.fork()
            except OSError:
                pass
