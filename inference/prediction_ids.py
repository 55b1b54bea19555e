"""Names a prediction so that names sort by time."""

from __future__ import annotations

import random


def new_prediction_id(time_s: float) -> str:
    """Return 32 hex digits that sort by time: milliseconds, then chance (as a version 7 UUID)."""
    milliseconds = int(time_s * 1000) & 0xFFFFFFFFFFFF
    # Not os.urandom: a system call gives the interpreter's lock away, and the id guards nothing.
    high, low = random.getrandbits(12), random.getrandbits(62)
    return f"{milliseconds << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low:032x}"
