"""Population stability index: how far shares have moved, bin by bin."""

from __future__ import annotations

import math

import numpy as np

from aiplatform.profiles import CategoryProfile, FeatureProfile, NumericProfile
from monitoring.drift.bins import BinnedPair, bin_categories, bin_numbers, smoothed_shares
from monitoring.drift.results import DriftLimits, TestResult, Verdict, judge


def population_stability_index(pair: BinnedPair) -> float:
    """Return sum over bins of (w - b) * ln(w / b), b and w the smoothed shares of baseline and window.

    Returns: PSI >= 0, dimensionless; 0.1 is customary for "moved", 0.25 for "moved far".
    Source: Siddiqi, Credit Risk Scorecards (2006); it is the Jeffreys divergence of the two.
    """
    b, w = smoothed_shares(pair.baseline), smoothed_shares(pair.window)
    return float(np.sum((w - b) * np.log(w / b)))


def psi_p_value(psi: float, *, bins: int, baseline_samples: int, window_samples: int) -> float:
    """Return the chance of a PSI this large when nothing has moved.

    Without drift, PSI * n * m / (n + m) has about a chi-square distribution with bins - 1 degrees
    of freedom; its tail by the cube-root approximation of Wilson and Hilferty (1931).
    Source: Yurdakul, Statistical Properties of Population Stability Index (2018), ch. 4.
    """
    degrees = max(1, bins - 1)
    scaled = psi * baseline_samples * window_samples / (baseline_samples + window_samples)
    spread = 2.0 / (9.0 * degrees)
    z = ((scaled / degrees) ** (1.0 / 3.0) - (1.0 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def bin_profiles(baseline: FeatureProfile, window: FeatureProfile) -> BinnedPair:
    """Return both in the baseline's bins.

    Raises: TypeError if one is of numbers and the other of categories.
    """
    if isinstance(baseline, NumericProfile) and isinstance(window, NumericProfile):
        return bin_numbers(baseline, window)
    if isinstance(baseline, CategoryProfile) and isinstance(window, CategoryProfile):
        return bin_categories(baseline, window)
    raise TypeError(f"the baseline is {type(baseline).__name__}, the window {type(window).__name__}")


def run_psi_test(pair: BinnedPair, limits: DriftLimits, *, significance: float) -> TestResult:
    """Return the PSI with its verdict. Missing values count as samples, since they are a bin."""
    n, m = round(float(pair.baseline.sum())), round(float(pair.window.sum()))
    psi = p_value = None
    verdict = Verdict.NOT_ENOUGH_DATA
    if min(n, m) >= limits.min_samples:
        psi = population_stability_index(pair)
        p_value = psi_p_value(psi, bins=len(pair.names), baseline_samples=n, window_samples=m)
        verdict = judge(psi, limits.psi_threshold, p_value, significance)
    return TestResult(
        test="psi", statistic=psi, threshold=limits.psi_threshold, p_value=p_value,
        baseline_samples=n, window_samples=m, verdict=verdict,
    )  # fmt: skip
