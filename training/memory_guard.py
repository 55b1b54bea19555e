"""Ends a trainer that takes more memory than it asked for, before its neighbours pay for it.

What counts is measured: the resident memory of the trainer and all that it started. A limit on addresses (RLIMIT_AS)
would stop a framework that only reserves them, and one on data (RLIMIT_DATA) counts the unused stacks of its threads.
It is looked at with each measurement, once a second; what grows faster than that meets the machine's own limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog

from training.launchers.base import MEMORY_EXIT_CODE

log = structlog.get_logger(__name__)

_PROC = Path("/proc")
_SESSION = 3  # field of /proc/PID/stat after the command's closing bracket


class MemoryGuard:
    """Watches one trainer. `tell` writes how the run ends, given the bytes; it may fail: the exit code says it too."""

    def __init__(
        self, limit_bytes: int, *, tell: Callable[[int], object], leave: Callable[[int], NoReturn] = os._exit
    ) -> None:
        self.limit_bytes = limit_bytes
        self._tell, self._leave = tell, leave

    def is_exceeded(self, held_bytes: int) -> bool:
        """Say whether so much is too much."""
        return 0 < self.limit_bytes < held_bytes

    def end(self, held_bytes: int, *, record: Callable[[], object]) -> NoReturn:
        """Keep what was measured, say how the run ends, and end this process with all that it started."""
        for step in (record, lambda: self._tell(held_bytes)):
            try:
                step()
            except Exception as error:  # noqa: BLE001  (the memory must be given back whatever cannot be written)
                log.warning("memory_limit_not_noted", error=f"{type(error).__name__}: {error}")
        end_others()
        sys.stdout.flush()
        self._leave(MEMORY_EXIT_CODE)


def end_others(*, proc: Path = _PROC) -> None:
    """Kill the other processes of this process's session."""
    own, session = os.getpid(), os.getsid(0)
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == own:
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[_SESSION]) == session:
                os.kill(int(entry.name), signal.SIGKILL)
