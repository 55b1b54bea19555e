"""Processes of this machine: which one it is, whether it lives, why it may have been killed.

A process id alone is not enough: it is used again. The kernel's start time beside it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from aiplatform.machine import this_host as this_host

LOST_EXIT_CODE = 76  # of a trainer that ended itself because a worker of its team was gone
_PROC = Path("/proc")
_STATE_FIELD, _START_FIELD = 0, 19  # counted after the command's closing bracket
_DEAD_STATES = ("Z", "X", "x")
_OOM_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def start_time(pid: int) -> str:
    """Return the process's start in kernel ticks since boot; empty if there is none, or it is a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[_STATE_FIELD] in _DEAD_STATES else fields[_START_FIELD]


def is_alive(pid: int, started: str) -> bool:
    """Say whether the process of that id and start still runs."""
    return bool(started) and start_time(pid) == started


def signal_session(pid: int, started: str, number: signal.Signals, *, leader_only: bool) -> None:
    """Send a signal to a process, or to all of the session's group that it leads; a dead one is no error."""
    if not is_alive(pid, started):
        return
    with contextlib.suppress(ProcessLookupError):
        if leader_only:
            os.kill(pid, number)
        else:
            os.killpg(pid, number)


def count_oom_kills() -> int | None:
    """Return how often the kernel has killed a process for memory, here or in this container."""
    for path in _OOM_COUNTERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.isdigit():
                return int(count)
    return None


def prefer_for_oom_kill() -> None:
    """Have the kernel choose this process before the servers beside it when memory runs out."""
    with contextlib.suppress(OSError):
        (_PROC / "self/oom_score_adj").write_text("500")
