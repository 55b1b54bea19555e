"""Two-sample Kolmogorov-Smirnov distance on quantile sketches: the largest gap between two distributions."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.profiles import NumericProfile
from monitoring.drift.tails import kolmogorov_tail

Array = np.ndarray[Any, Any]
Sample = tuple[Array, Array]  # values in order, the running share of their weights


def read_sample(profile: NumericProfile) -> Sample:
    """Return a sketch's values, rounded as those of windows are, and their cumulative shares, shape (kept,) each."""
    values, weights = profile.kept()
    return values, np.cumsum(weights) / max(1.0, float(weights.sum()))


def cumulative_shares(sample: Sample, points: Array) -> Array:
    """Return the share of a sample at or below each point."""
    values, shares = sample
    found: Array = np.concatenate([[0.0], shares])[np.searchsorted(values, points, side="right")]
    return found


def kolmogorov_smirnov_distance(baseline: NumericProfile, window: NumericProfile) -> float:
    """Return the largest difference between the two cumulative distributions, 0 to 1.

    Evaluated exactly on the values that the sketches kept, so it differs from the distance of
    the full samples by at most `distance_error`. Both profiles must hold values.
    """
    return sample_distance(read_sample(baseline), read_sample(window))


def sample_distance(baseline: Sample, window: Sample) -> float:
    """Return the same of two samples that have been read."""
    points = np.concatenate([baseline[0], window[0]])
    return float(np.max(np.abs(cumulative_shares(baseline, points) - cumulative_shares(window, points))))


def distance_error(baseline: NumericProfile, window: NumericProfile) -> float:
    """Return how far the distance may be off: the sum of both sketches' rank errors, at 99% each.

    A sketch that has kept every value has no error.
    """
    return baseline.rank_error + window.rank_error


def effective_samples(profile: NumericProfile, *, share: float = 0.5) -> float:
    """Return how many exact values would tell a share as well as the sketch does.

    A cumulative share q of n values varies by q (1 - q) / n; the sketch adds the variance of its rank error.
    """
    sampling = share * (1.0 - share) / max(1, profile.count)
    return share * (1.0 - share) / (sampling + profile.rank_deviation**2)


def ks_p_value(distance: float, baseline: NumericProfile, window: NumericProfile) -> float:
    """Return the chance of such a distance without drift, sampling and sketching both counted."""
    return kolmogorov_tail(
        distance, baseline_samples=effective_samples(baseline), window_samples=effective_samples(window)
    )
