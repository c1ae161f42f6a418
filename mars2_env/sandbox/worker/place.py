"""What a run that has a user id of its own finds about itself outside its scratch folder: who it is, shared memory.

User ids are drawn anew for each run, so no image can name them, and a folder of shared memory for all of them would
carry messages from one run to the next. So both are the supervisor's to say before each run, in the container's /dev,
where nobody else can write: the image's /etc/passwd and /etc/group are links to files there, and /dev/shm is a link to
the scratch folder of the run. Under a guard every run has the same id and the same folder, and all of it stands still.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

USERS: Final = "/dev/passwd"
GROUPS: Final = "/dev/group"
SHARED_MEMORY: Final = "/dev/shm"
NAME: Final = "candidate"
GUARDED_UID: Final = 1000
GUARDED_USERS: Final = "/python/passwd"
GUARDED_GROUPS: Final = "/python/group"
"""What the links lead to under a guard."""


def users(uid: int, box: str) -> str:
    """Return a list of users, as in /etc/passwd, in which `uid` is that of a run whose home is `box`."""
    return f"root:x:0:0::/:/bin/sh\n{NAME}:x:{uid}:{uid}::{box}:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"


def groups(gid: int) -> str:
    """Return a list of groups, as in /etc/group, in which `gid` is that of a run."""
    return f"root:x:0:\n{NAME}:x:{gid}:\nnogroup:x:65534:\n"


def settle(uid: int, box: str) -> None:
    """Say who the next run is, and where its shared memory goes.

    An engine may keep /dev read-only: then a run finds neither, as nothing else depends on it.
    """
    with contextlib.suppress(OSError):
        for path, text in ((USERS, users(uid, box)), (GROUPS, groups(uid))):
            with open(path, "w") as file:
                file.write(text)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SHARED_MEMORY)
        os.symlink(box, SHARED_MEMORY)
