"""What a training takes of its machine: cores, memory, GPU; measured from within its own process.

A trainer leads a session of its own, so its session's processes are itself and whatever it has started
(readers of data, workers). Nothing here imports Django or a learning framework.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiplatform.gpus import open_gpus

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
_SESSION, _UTIME, _STIME, _RSS = 3, 11, 12, 21  # fields of /proc/PID/stat after the command's closing bracket
_UNLIMITED = 1 << 60  # cgroup v1 writes such a number for 'max'


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One measurement. `cpu_cores`: 1.5 is one and a half cores busy since the last one.

    `cpu_seconds` are of all so far, with those that have ended and were waited for.

    `gpu_share` is 0 to 1 of the busiest visible device, `gpu_memory_bytes` this session's on all; None without NVML.
    """

    cpu_cores: float
    memory_bytes: int
    cpu_seconds: float = 0.0
    gpu_share: float | None = None
    gpu_memory_bytes: int | None = None


class UsageMeter:
    """Measures the session of this process."""

    def __init__(self, *, proc: Path = _PROC, session: int | None = None) -> None:
        self._proc = proc
        self._session = os.getsid(0) if session is None else session
        self._gpus = open_gpus()
        self._strangers: set[int] = set()  # living processes of other sessions: none of them can come into this one
        self._ticks_before: float | None = None
        self._measured_s = time.monotonic()

    def measure(self) -> Usage:
        """Return what the session takes now."""
        processes = self._session_processes()
        memory_bytes = sum(int(fields[_RSS]) for fields in processes.values()) * resource.getpagesize()
        gpu_share, gpu_memory = self._gpus.measure(set(processes)) if self._gpus else (None, None)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Usage(
            cpu_cores=self._cores(processes),
            memory_bytes=memory_bytes,
            cpu_seconds=round(_ticks(processes) / os.sysconf("SC_CLK_TCK") + ended.ru_utime + ended.ru_stime, 2),
            gpu_share=gpu_share,
            gpu_memory_bytes=gpu_memory,
        )

    def _session_processes(self) -> dict[int, list[str]]:
        """Return the fields of the session's living processes by their ids.

        A stranger is read once: a machine may have thousands, and this is done each second beside the learning.
        """
        living = {int(name) for name in os.listdir(self._proc) if name.isdigit()}  # noqa: PTH208  (paths are slow)
        self._strangers &= living
        found = {}
        for pid in living - self._strangers:
            try:
                fields = (self._proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has just ended
            if int(fields[_SESSION]) == self._session:
                found[pid] = fields
            else:
                self._strangers.add(pid)
        return found

    def _cores(self, processes: dict[int, list[str]]) -> float:
        ticks = _ticks(processes)
        now_s = time.monotonic()
        before, self._ticks_before = self._ticks_before, ticks
        elapsed_s, self._measured_s = now_s - self._measured_s, now_s
        if before is None or elapsed_s <= 0:
            return 0.0
        return max(0.0, ticks - before) / os.sysconf("SC_CLK_TCK") / elapsed_s  # less: a child has ended


def _ticks(processes: dict[int, list[str]]) -> float:
    return float(sum(int(fields[_UTIME]) + int(fields[_STIME]) for fields in processes.values()))


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held so far, and the largest of its children."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + children) * 1024  # Linux counts KiB


def own_memory_bytes(*, proc: Path = _PROC) -> int:
    """Return how much memory this process holds now, without those that it has started; cheap enough to ask often."""
    return int((proc / "self/statm").read_text().split()[1]) * resource.getpagesize()


def peak_gpu_bytes() -> int | None:
    """Return the most memory that PyTorch has taken on GPUs; None if it runs on none."""
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if not hasattr(cuda, "max_memory_allocated") or not cuda.is_initialized():  # absent, or being imported just now
        return None
    return int(sum(cuda.max_memory_allocated(i) for i in range(cuda.device_count())))


def memory_limit_bytes(*, proc: Path = _PROC, cgroup: Path = _CGROUP) -> int | None:
    """Return how much memory there is for all: the machine's, or the container's limit, whichever is less."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = (proc / "meminfo").read_text().splitlines()
        found.append(int(next(line for line in lines if line.startswith("MemTotal:")).split()[1]) * 1024)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limit = int((cgroup / name).read_text())
            found.append(min(limit, _UNLIMITED))
    return min(found, default=None)
