"""Fits how often a model's confidence is right, on rows from which it has not learned.

Monitoring estimates accuracy from it while no labels are there. With few rows the two numbers of Platt
scaling are all that can be told; with many, isotonic regression follows any rising curve (Niculescu-Mizil
and Caruana, Predicting Good Probabilities with Supervised Learning, ICML 2005, put the turn near 1,000 rows).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiplatform.calibration import CONFIDENCE, SECOND_CLASS, Calibration
from aiplatform.scores import TOLERANCE, log_odds

MIN_ROWS = 50
ISOTONIC_ROWS = 1000
PENALTY = 1e3  # of Platt's regression: so weak that it only keeps the slope finite where one cut separates all

Array = np.ndarray[Any, Any]


def fit_calibration(probabilities: Array, truth: Array) -> Calibration | None:
    """Return the calibration of a classifier; None if there are too few rows, or these are no probabilities.

    Shapes: probabilities (n, classes); truth (n,) class indices.
    """
    rows, classes = probabilities.shape
    if rows < MIN_ROWS or classes < 2 or not _are_probabilities(probabilities):
        return None
    is_right = probabilities.argmax(axis=1) == truth
    if classes == 2:
        odds, outcome = log_odds(probabilities[:, 1]), truth == 1
    else:
        odds, outcome = log_odds(probabilities.max(axis=1)), is_right
    subject = SECOND_CLASS if classes == 2 else CONFIDENCE
    common: dict[str, Any] = {"subject": subject, "rows": rows, "accuracy": float(is_right.mean())}
    if rows >= ISOTONIC_ROWS:
        return Calibration(method="isotonic", points=_isotonic_points(odds, outcome), **common)
    slope, intercept = _platt(odds, outcome)
    return Calibration(method="platt", slope=slope, intercept=intercept, **common)


def as_probabilities(outputs: Array, classes: int) -> Array | None:
    """Return a model's first output as probabilities of each class, shape (n, classes); None if it is not that."""
    flat = outputs.reshape(len(outputs), -1)
    if classes == 2 and flat.shape[1] == 1:
        flat = np.concatenate([1 - flat, flat], axis=1)
    return flat if flat.shape[1] == classes else None


def _are_probabilities(values: Array) -> bool:
    is_inside = np.isfinite(values).all() and values.min() >= -TOLERANCE and values.max() <= 1 + TOLERANCE
    return bool(is_inside and np.allclose(values.sum(axis=1), 1, atol=1e-2))


def _isotonic_points(odds: Array, outcome: Array) -> tuple[tuple[float, float], ...]:
    from sklearn.isotonic import IsotonicRegression

    least = 1 / (len(odds) + 2)  # nothing that was seen so seldom is certain (Laplace)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(odds, outcome)
    return tuple(zip(fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist(), strict=True))


def _platt(odds: Array, outcome: Array) -> tuple[float, float]:
    """Fit with Platt's smoothed targets, which count as rows of both outcomes with weights."""
    from sklearn.linear_model import LogisticRegression

    positives = int(outcome.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (len(odds) - positives + 2)
    targets = np.where(outcome, high, low)
    rows, answers = np.concatenate([odds, odds])[:, None], np.repeat([1, 0], len(odds))
    fitted = LogisticRegression(C=PENALTY).fit(rows, answers, sample_weight=np.concatenate([targets, 1 - targets]))
    return max(0.0, float(fitted.coef_[0, 0])), float(fitted.intercept_[0])
