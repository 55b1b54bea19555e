"""Latencies in fixed, logarithmic buckets: counts that add up over processes and time, in constant memory.

Bucket i holds latencies up to 0.05 ms * 1.25^i; the last one all that are longer (about 40 s). A quantile
is a bucket's upper bound, so it is at most 25% above the true one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

FIRST_MS, RATIO, COUNT = 0.05, 1.25, 62
_LOG_RATIO = math.log(RATIO)


def bucket_of(latency_ms: float) -> int:
    """Return the place of a latency."""
    if latency_ms <= FIRST_MS:
        return 0
    return min(COUNT - 1, math.ceil(math.log(latency_ms / FIRST_MS) / _LOG_RATIO - 1e-9))


def bound_ms(bucket: int) -> float:
    """Return the longest latency that a bucket holds."""
    return FIRST_MS * RATIO**bucket


def count_latencies(latencies_ms: Iterable[float]) -> list[int]:
    """Return counts by bucket, shape (COUNT,)."""
    counts = [0] * COUNT
    for latency_ms in latencies_ms:
        counts[bucket_of(latency_ms)] += 1
    return counts


def add_counts(first: Sequence[int], second: Sequence[int]) -> list[int]:
    """Return the counts of both; an empty one is all zero."""
    if not first or not second:
        return list(first or second)
    return [a + b for a, b in zip(first, second, strict=True)]


def quantile_ms(counts: Sequence[int], rank: float) -> float | None:
    """Return the latency below which a share `rank` lies; None without counts."""
    total = sum(counts)
    if not total:
        return None
    seen = 0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank * total:
            return bound_ms(bucket)
    return bound_ms(COUNT - 1)
