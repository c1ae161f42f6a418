"""How much CPU time and memory is used in a worker: from its control group, or from /proc where it sees none."""

from __future__ import annotations

import contextlib
import os
import time


class Meter:
    """CPU time and memory of everything in the container: exact from its control group, else summed over /proc."""

    def __init__(self) -> None:
        self._cpu = self._open("cpuacct/cpuacct.usage", "cpu,cpuacct/cpuacct.usage", "cpu.stat")
        self._memory = self._open("memory/memory.usage_in_bytes", "memory.current")
        self._kills = self._open("memory/memory.oom_control", "memory.events")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._seen: dict[tuple[int, bytes], float] = {}
        self._live = self._total = 0.0
        self.source = "cgroup" if self._cpu >= 0 and self._memory >= 0 else "proc"
        shares = ("/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/cpu,cpuacct/cpu.shares", "/sys/fs/cgroup/cpu.weight")
        # Processors are shared out among containers first: this makes runs give way to us, and to nobody else.
        self.nice = 10 if any(map(os.path.exists, shares)) else 0

    @staticmethod
    def _open(*names: str) -> int:
        for name in names:
            with contextlib.suppress(OSError):
                fd = os.open(f"/sys/fs/cgroup/{name}", os.O_RDONLY | os.O_CLOEXEC)
                os.pread(fd, 64, 0)
                return fd
        return -1

    def cpu_seconds(self) -> float:
        """CPU time used by everything but the supervisor itself, from some fixed moment on."""
        if self._cpu < 0:
            return self._proc_cpu()
        text = os.pread(self._cpu, 256, 0)
        used = int(text.split()[1]) / 1e6 if text.startswith(b"usage_usec") else int(text) / 1e9
        return used - time.process_time()

    def memory_bytes(self) -> int:
        """Memory in use, in files under /box and memory files too where there is a control group."""
        if self._memory < 0:
            return self._proc_memory()
        return int(os.pread(self._memory, 64, 0))

    def out_of_memory_kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        if self._kills < 0:
            return 0
        for line in os.pread(self._kills, 512, 0).splitlines():
            if line.startswith(b"oom_kill "):
                return int(line.split()[1])
        return 0

    def _stats(self) -> list[tuple[int, list[bytes]]]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                    found.append((int(name), file.read().rpartition(b")")[2].split()))
        return found

    def _proc_cpu(self) -> float:
        # What has ended is either in the account of the parent that waited for it or, where nobody did, in what was
        # last seen of it: each is too little, never too much, so the larger growth counts.
        live = 0.0
        grown = 0.0
        stats = self._stats()
        for pid, fields in stats:
            own = (int(fields[11]) + int(fields[12])) / self._ticks
            live += own + (int(fields[13]) + int(fields[14])) / self._ticks
            grown += own - self._seen.get((pid, fields[19]), 0.0)
            self._seen[pid, fields[19]] = own
        self._total += max(live - self._live, grown, 0.0)
        self._live = live
        if len(self._seen) > 2 * len(stats) + 1000:
            alive = {(pid, fields[19]) for pid, fields in stats}
            self._seen = {key: own for key, own in self._seen.items() if key in alive}
        return self._total

    def _proc_memory(self) -> int:
        return sum(int(fields[21]) for _, fields in self._stats()) * self._page

    def shared_memory_counted_once(self) -> int:
        """Memory of all processes where there is no control group: each page once, however many processes share it."""
        total = 0
        for pid, _ in self._stats():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith(b"Pss:")) * 1024
        return total
