"""Jensen-Shannon distance: how far shares have moved, on a scale with an end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from monitoring.drift.bins import BinnedPair


def jensen_shannon_distance(pair: BinnedPair) -> float:
    """Return the root of the mean divergence (natural logarithm) from the mean of both, 0 to 0.833.

    Source: Endres, Schindelin, IEEE Trans. Inf. Theory 49 (2003).
    """
    b, w = pair.baseline / pair.baseline.sum(), pair.window / pair.window.sum()
    middle = (b + w) / 2
    divergence = (_divergence(b, middle) + _divergence(w, middle)) / 2
    return math.sqrt(max(0.0, divergence))


def _divergence(shares: np.ndarray[Any, Any], middle: np.ndarray[Any, Any]) -> float:
    """Return Kullback-Leibler's sum of s ln(s / m); an empty bin adds nothing."""
    known = shares > 0
    return float(np.sum(shares[known] * np.log(shares[known] / middle[known])))
