"""Has the system run a process after those that answer requests."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_SESSION = Path("/proc/self/autogroup")


def step_back(nice: int) -> None:
    """Lower this process's priority by a nice value, 0 to 19, and its session's to it if it leads one.

    What it starts inherits the first, and within the session the second.
    Raises: ValueError if there is no such nice value.
    """
    step_back_as_session(nice)
    os.nice(nice)


def step_back_as_session(nice: int) -> None:
    """Lower the priority of the session that this process leads to a nice value, 0 to 19; of another's it lowers none.

    Linux may group processes by session (most distributions have it do so). Then every session gets as much of a core
    as any other, nice values order only what is within one, and a session has one of its own. Only its leader sets
    it, since others in a session that it does not lead might answer requests.
    Raises: ValueError if there is no such nice value.
    Source: sched(7), "The autogroup feature".
    """
    if not 0 <= nice <= 19:
        raise ValueError(f"a nice value that steps back is 0 to 19, not {nice}")
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # the kernel does not group so, or forbids it
            _SESSION.write_text(str(nice))
