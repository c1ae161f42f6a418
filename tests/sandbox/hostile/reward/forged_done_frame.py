# MODE: stdin
# EXPECT: fail
# MUST NOT: speak to the host in the supervisor's voice.
import json
import os
import struct

facts = json.dumps({"reason": "exit", "status": 0, "cpu": 0.0, "wall": 0.0, "memory": 0, "ended": True}).encode()
a, b = input().split()
blobs = [facts, str(int(a) + int(b)).encode(), b"", b""]
sizes = struct.pack("!4I", *map(len, blobs))
frame = struct.pack("!IcB", 2 + len(sizes) + sum(map(len, blobs)), b"D", 4) + sizes + b"".join(blobs)
for fd in [2, *range(3, 256)]:
    try:
        os.write(fd, frame)
    except OSError:
        pass
