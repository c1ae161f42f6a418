"""User ids that are nobody's, for what must not be able to touch what belongs to others."""

from __future__ import annotations


def unused_users() -> tuple[int, int]:
    """Return the first of a range of user ids that nobody has, and the one behind its last.

    Where the kernel maps all ids, they are high ones: process limits count a user's processes on the whole host. Where
    it maps few (in a container of root's), they are among those.
    """
    with open("/proc/self/uid_map") as file:
        top = max(int(line.split()[0]) + int(line.split()[2]) for line in file)
    return (2**20, 2**30) if top > 2**30 else (10_000, min(top, 65_000))
