"""Population stability index: how far shares have moved, bin by bin."""

from __future__ import annotations

import numpy as np

from aiplatform.profiles import CategoryProfile, FeatureProfile, NumericProfile
from monitoring.drift.bins import BinnedPair, bin_categories, bin_numbers, smoothed_shares


def population_stability_index(pair: BinnedPair) -> float:
    """Return sum over bins of (w - b) * ln(w / b), b and w the smoothed shares of baseline and window.

    Returns: PSI >= 0, dimensionless; 0.1 is customary for "moved", 0.25 for "moved far".
    Source: Siddiqi, Credit Risk Scorecards (2006); it is the Jeffreys divergence of the two.
    """
    return float(np.sum(psi_terms(pair)))


def psi_terms(pair: BinnedPair) -> np.ndarray:
    """Return each bin's part of the PSI, shape (k,)."""
    b, w = smoothed_shares(pair.baseline), smoothed_shares(pair.window)
    terms: np.ndarray = (w - b) * np.log(w / b)
    return terms


def bin_profiles(baseline: FeatureProfile, window: FeatureProfile) -> BinnedPair:
    """Return both in the baseline's bins.

    Raises: TypeError if one is of numbers and the other of categories.
    """
    if isinstance(baseline, NumericProfile) and isinstance(window, NumericProfile):
        return bin_numbers(baseline, window)
    if isinstance(baseline, CategoryProfile) and isinstance(window, CategoryProfile):
        return bin_categories(baseline, window)
    raise TypeError(f"the baseline is {type(baseline).__name__}, the window {type(window).__name__}")
