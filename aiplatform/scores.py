"""A model's class scores in two bytes each, the same in training, in serving and in monitoring.

What is kept is the log-odds ln(p / (1 - p)), not p: ranks and logarithms need as much precision near
0 and near 1 as in the middle. Of two classes only the second is kept, since the first is the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LIMIT = 16.0  # log-odds beyond are taken as this: 1.1e-7 from certainty, where float32 ends
CERTAIN = 1e-9  # from 0 and 1: its log-odds are beyond the limit, and finite
STEPS = 65534
MISSING = 65535
CODE = np.dtype("<u2")
MAX_CLASSES = 32  # of a model with more, no scores are kept
TOLERANCE = 1e-3  # how far outside 0 to 1 a probability may lie by rounding (bfloat16, quantised engines)

Array = np.ndarray[Any, Any]


def encode_scores(probabilities: Array) -> Array | None:
    """Return codes of shape (n, columns): one column for two classes, else one a class.

    Shapes: probabilities (n, classes). None if there are more classes than are kept, or these are no probabilities.
    """
    classes = probabilities.shape[1]
    if not 2 <= classes <= MAX_CLASSES:
        return None
    kept = probabilities[:, 1:] if classes == 2 else probabilities
    p = kept.astype(np.float64)
    if p.size and p.min() >= -TOLERANCE and p.max() <= 1 + TOLERANCE:  # never so with a NaN
        clipped = np.clip(p, CERTAIN, 1.0 - CERTAIN)
        return _codes(np.log(clipped) - np.log1p(-clipped)).astype(CODE)
    known = np.isfinite(p)
    if not len(p) or not known.any() or p[known].min() < -TOLERANCE or p[known].max() > 1 + TOLERANCE:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        clipped = np.clip(p, 0.0, 1.0)
        odds = np.log(clipped) - np.log1p(-clipped)
    return np.where(known, _codes(odds), MISSING).astype(CODE)


def _codes(odds: Array) -> Array:
    """Return the nearest code of each log-odds, still as a float; NaN stays."""
    np.clip(odds, -LIMIT, LIMIT, out=odds)
    odds += LIMIT
    odds *= STEPS / (2 * LIMIT)
    return np.rint(odds, out=odds)


def decode_odds(codes: Array) -> Array:
    """Return log-odds as float64, NaN where nothing was known; the error is at most 0.00025."""
    odds: Array = codes.astype(np.float64) * (2 * LIMIT / STEPS) - LIMIT
    odds[codes == MISSING] = np.nan
    return odds


def log_odds(probabilities: Array) -> Array:
    """Return log-odds of probabilities, bounded as the codes are; NaN stays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        clipped = np.clip(probabilities.astype(np.float64), 0.0, 1.0)
        odds: Array = np.clip(np.log(clipped) - np.log1p(-clipped), -LIMIT, LIMIT)
    return odds


def sigmoid(odds: Array) -> Array:
    """Return probabilities of log-odds."""
    found: Array = 1.0 / (1.0 + np.exp(-odds))
    return found
