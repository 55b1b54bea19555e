"""Wasserstein distance: how far the values have moved, in the baseline's standard deviations."""

from __future__ import annotations

import numpy as np

from monitoring.drift.ks import Sample, cumulative_shares


def wasserstein_distance(baseline: Sample, window: Sample) -> float:
    """Return the area between the two cumulative distributions, in the values' own unit.

    Source: Vallender, Theory of Probability 18 (1974): in one dimension the distance is that area.
    """
    points = np.unique(np.concatenate([baseline[0], window[0]]))
    gaps = np.abs(cumulative_shares(baseline, points) - cumulative_shares(window, points))
    return float(np.sum(gaps[:-1] * np.diff(points)))


def mean_shift(baseline: Sample, window: Sample) -> float:
    """Return how much greater the window's mean is; no further from 0 than the Wasserstein distance."""
    return _mean(window) - _mean(baseline)


def scale_of(baseline_deviation: float, baseline: Sample, window: Sample) -> float:
    """Return the unit of the scaled distance: the baseline's deviation, that of both together if it is constant."""
    if baseline_deviation > 0:
        return baseline_deviation
    both = np.concatenate([baseline[0], window[0]])
    weights = np.concatenate([np.diff(sample[1], prepend=0.0) for sample in (baseline, window)])
    mean = np.average(both, weights=weights)
    return float(np.sqrt(np.average((both - mean) ** 2, weights=weights))) or 1.0


def _mean(sample: Sample) -> float:
    values, shares = sample
    return float(np.sum(values * np.diff(shares, prepend=0.0)))
