"""How long this thread was ready to run and did not, because other programs had the processor."""

from __future__ import annotations

from pathlib import Path

_SCHEDSTAT = Path("/proc/thread-self/schedstat")  # ns on the processor, ns waiting for it, and turns


def run_delay_s() -> float:
    """Return the seconds since the thread began; 0 where the kernel does not count them."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
