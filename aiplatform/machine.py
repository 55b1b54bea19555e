"""Which machine and which place on it a process is on, so that two apps can speak of the same memory and devices.

Containers of one machine have names of their own and share its kernel: they are told apart by the place, and
found together by the machine.
"""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

_PROC = Path("/proc")


@functools.cache
def this_host() -> str:
    """Return a name for where process ids mean the same: host and process namespace."""
    try:
        namespace = os.readlink(_PROC / "self/ns/pid").strip("pid:[]")  # noqa: PTH115 (not a real path)
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"[:200]


def this_machine(*, proc: Path = _PROC) -> str:
    """Return what all containers of one running kernel have in common; the host's name where it does not say."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()[:64]
    except OSError:
        return socket.gethostname()[:64]


def resident_bytes(*, proc: Path = _PROC) -> tuple[int, int]:
    """Return how much memory this process holds, and the most that it has held; zeros where that is not known."""
    try:
        lines = (proc / "self/status").read_text().splitlines()
    except OSError:
        return 0, 0
    found = {name: value for name, _, value in (line.partition(":") for line in lines)}
    now, peak = (int(found.get(name, "0").split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak
