"""Quantiles of latency with their intervals, so that two versions can be compared by more than looks."""

from __future__ import annotations

import math

from monitoring.accuracy import Z_95
from monitoring.latencies import LatencySketch
from monitoring.performance.results import Estimate

RANKS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def estimate_quantiles(sketch: LatencySketch) -> dict[str, Estimate]:
    """Return p50, p95 and p99 with 95% intervals, milliseconds.

    The number of values below the true quantile q is binomial, so the values at the ranks
    q +- 1.96 sqrt(q (1 - q) / n) enclose it; the sketch's own rank error is added to that.
    Source: Conover, Practical Nonparametric Statistics (1999), ch. 3.2.
    """
    if sketch.is_empty():
        return {name: Estimate() for name in RANKS}
    n = int(sketch.n)
    error = sketch.normalized_rank_error(False) if sketch.is_estimation_mode() else 0.0
    return {name: _estimate(sketch, rank, n, error) for name, rank in RANKS.items()}


def _estimate(sketch: LatencySketch, rank: float, n: int, error: float) -> Estimate:
    reach = Z_95 * math.sqrt(rank * (1 - rank) / n) + error
    low, value, high = sketch.get_quantiles([max(0.0, rank - reach), rank, min(1.0, rank + reach)])
    return Estimate(value=float(value), low=float(low), high=float(high), samples=n)
