"""Chi-square test of two rows of counts: are both drawn from the same shares?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitoring.drift.bins import BinnedPair
from monitoring.drift.tails import chi_square_tail

LEAST_EXPECTED = 5.0  # counts in a bin; rarer bins are one (Cochran, 1954)
Array = np.ndarray[Any, Any]


def chi_square_test(pair: BinnedPair) -> tuple[float, int, float]:
    """Return Pearson's statistic of the two rows of counts, its degrees of freedom and its p-value.

    Bins in which either side would be expected to have fewer than LEAST_EXPECTED counts are one bin.
    """
    counts = _pool_rare(np.stack([pair.baseline, pair.window]))
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 0.0, 1, 1.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    statistic = float(np.sum((counts - expected) ** 2 / expected))
    degrees = counts.shape[1] - 1
    return statistic, degrees, chi_square_tail(statistic, degrees)


def _pool_rare(counts: Array) -> Array:
    """Return the counts with all rare bins in one, shape (2, at most k)."""
    least = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    is_rare = least < LEAST_EXPECTED
    if is_rare.sum() < 1:
        return counts
    pooled = counts[:, is_rare].sum(axis=1, keepdims=True)
    kept = counts[:, ~is_rare]
    if not kept.shape[1] or pooled.sum() * counts.sum(axis=1).min() / counts.sum() >= LEAST_EXPECTED:
        return np.concatenate([kept, pooled], axis=1)
    smallest = int(np.argmin(kept.sum(axis=0)))  # still rare: one with the rarest of the others
    kept = kept.copy()
    kept[:, smallest] += pooled[:, 0]
    return kept


def critical_value(degrees: int, level: float) -> float:
    """Return the statistic whose p-value is a level, to six digits."""
    low, high = 0.0, degrees + 100.0 * math.sqrt(degrees) + 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chi_square_tail(middle, degrees) > level else (low, middle)
    return high
