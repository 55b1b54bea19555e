"""Accuracy as far as it is known: on the labelled predictions, with its interval and the coverage."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z_95 = 1.959963984540054  # of a two-sided 95% interval


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Realised accuracy. All shares are None without the counts they need."""

    labelled: int
    correct: int
    predictions: int
    value: float | None
    low: float | None
    high: float | None
    coverage: float | None


def wilson_interval(successes: float, trials: float, *, z: float = Z_95) -> tuple[float, float]:
    """Return the interval that holds a share with 95% confidence, given successes of trials > 0.

    Source: Wilson, J. American Stat. Assoc. 22 (1927); right also near 0 and 1 and for few trials.
    """
    share = successes / trials
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def realised_accuracy(*, labelled: int, correct: int, predictions: int) -> Accuracy:
    """Return accuracy and coverage from counts."""
    low, high = wilson_interval(correct, labelled) if labelled else (None, None)
    return Accuracy(
        labelled=labelled,
        correct=correct,
        predictions=predictions,
        value=correct / labelled if labelled else None,
        low=low,
        high=high,
        coverage=min(1.0, labelled / predictions) if predictions else None,
    )
