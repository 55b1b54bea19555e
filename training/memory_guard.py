"""Ends a trainer that takes more memory than it asked for, before its neighbours pay for it.

It stands where no cgroup holds the trainer (training/launchers/cgroups.py). What counts is measured: the resident
memory of the trainer and all that it started. A limit on addresses (RLIMIT_AS) would stop a framework that only
reserves them, and one on data (RLIMIT_DATA) counts the unused stacks of its threads; under either compiled code ends in
a crash that does not say why. The trainer's own memory is looked at ten times a second, that of all together once; what
grows faster meets the machine's own limit.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import structlog

from training.launchers.base import MEMORY_EXIT_CODE
from training.usage import own_memory_bytes

log = structlog.get_logger(__name__)

_PROC = Path("/proc")
LOOK_EVERY_S = 0.1
_SESSION = 3  # field of /proc/PID/stat after the command's closing bracket


class MemoryGuard:
    """Watches one trainer. `tell` writes how the run ends, given the bytes; it may fail: the exit code says it too."""

    def __init__(
        self, limit_bytes: int, *, tell: Callable[[int], object], leave: Callable[[int], NoReturn] = os._exit
    ) -> None:
        self.limit_bytes = limit_bytes
        self._tell, self._leave = tell, leave
        self._ending = threading.Lock()

    def is_exceeded(self, held_bytes: int) -> bool:
        """Say whether so much is too much."""
        return 0 < self.limit_bytes < held_bytes

    def end(self, held_bytes: int, *, record: Callable[[], object]) -> NoReturn:
        """Keep what was measured, say how the run ends, and end this process with all that it started.

        Whoever comes second, from another thread, waits for the end.
        """
        self._ending.acquire()
        for step in (record, lambda: self._tell(held_bytes)):
            try:
                step()
            except Exception as error:  # noqa: BLE001  (the memory must be given back whatever cannot be written)
                log.warning("memory_limit_not_noted", error=f"{type(error).__name__}: {error}")
        end_others()
        sys.stdout.flush()
        self._leave(MEMORY_EXIT_CODE)

    def watch(self, *, record: Callable[[], object], held: Callable[[], int] = own_memory_bytes) -> NoReturn:
        """Look at this process's own memory again and again; for a thread of its own."""
        pause = threading.Event()
        while not self.is_exceeded(held_bytes := held()):
            pause.wait(LOOK_EVERY_S)
        self.end(held_bytes, record=record)

    def start(self, *, record: Callable[[], object]) -> None:
        """Watch in the background for as long as this process lives."""
        threading.Thread(target=self.watch, kwargs={"record": record}, name="memory", daemon=True).start()


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
