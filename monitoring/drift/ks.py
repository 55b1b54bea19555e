"""Two-sample Kolmogorov-Smirnov test on quantile sketches: the largest gap between two distributions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aiplatform.profiles import NumericProfile
from monitoring.drift.results import DriftLimits, TestResult, Verdict, judge

TERMS = 101  # of the series; it converges after a few

Array = np.ndarray[Any, Any]


def kolmogorov_smirnov_distance(baseline: NumericProfile, window: NumericProfile) -> float:
    """Return the largest difference between the two cumulative distributions, 0 to 1.

    Evaluated exactly on the values that the sketches kept, so it differs from the distance of
    the full samples by at most `distance_error`. Both profiles must hold values.
    """
    values_b, weights_b = _kept(baseline)
    values_w, weights_w = _kept(window)
    points = np.concatenate([values_b, values_w])
    return float(np.max(np.abs(_cdf(values_b, weights_b, points) - _cdf(values_w, weights_w, points))))


def distance_error(baseline: NumericProfile, window: NumericProfile) -> float:
    """Return how far the distance may be off: the sum of both sketches' rank errors, at 99% each.

    A sketch that has kept every value has no error.
    """
    return sum(
        p.sketch.normalized_rank_error(False) if p.sketch.is_estimation_mode() else 0.0 for p in (baseline, window)
    )


def ks_p_value(distance: float, *, baseline_samples: int, window_samples: int) -> float:
    """Return the chance of a distance this large between samples of one distribution.

    The asymptotic Kolmogorov distribution, 2 * sum over j >= 1 of (-1)^(j-1) exp(-2 j^2 t^2), at
    t = (sqrt(e) + 0.12 + 0.11 / sqrt(e)) * distance with e = n m / (n + m).
    Source: Stephens, J. Royal Stat. Soc. B 32 (1970); Kolmogorov (1933).
    """
    root = math.sqrt(baseline_samples * window_samples / (baseline_samples + window_samples))
    t = (root + 0.12 + 0.11 / root) * distance
    if t < 0.2:  # the series converges slowly here, and the value is 1 to twelve digits
        return 1.0
    j = np.arange(1, TERMS)
    total = 2.0 * float(np.sum((-1.0) ** (j - 1) * np.exp(-2.0 * j * j * t * t)))
    return min(1.0, max(0.0, total))


def run_ks_test(
    baseline: NumericProfile, window: NumericProfile, limits: DriftLimits, *, significance: float
) -> TestResult:
    """Return the distance with its verdict; the p-value is that of the least distance the sketches allow."""
    n, m = baseline.count, window.count
    distance = p_value = None
    verdict = Verdict.NOT_ENOUGH_DATA
    if min(n, m) >= limits.min_samples:
        distance = kolmogorov_smirnov_distance(baseline, window)
        least = max(0.0, distance - distance_error(baseline, window))
        p_value = ks_p_value(least, baseline_samples=n, window_samples=m)
        verdict = judge(distance, limits.ks_threshold, p_value, significance)
    return TestResult(
        test="ks", statistic=distance, threshold=limits.ks_threshold, p_value=p_value,
        baseline_samples=n, window_samples=m, verdict=verdict,
    )  # fmt: skip


def _kept(profile: NumericProfile) -> tuple[Array, Array]:
    """Return the sketch's values in order and the running share of their weights, shape (kept,) each."""
    kept = np.array(list(profile.sketch), dtype=np.float64)  # (kept, 2): value, weight
    kept = kept[np.argsort(kept[:, 0], kind="stable")]
    return kept[:, 0], np.cumsum(kept[:, 1]) / kept[:, 1].sum()


def _cdf(values: Array, shares: Array, points: Array) -> Array:
    places = np.searchsorted(values, points, side="right")
    return np.concatenate([[0.0], shares])[places]
