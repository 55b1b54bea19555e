"""95% intervals in closed form; each says where it comes from."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from monitoring.accuracy import Z_95, wilson_interval
from monitoring.performance.results import Estimate

Array = np.ndarray[Any, Any]


def share(successes: float, trials: float) -> Estimate:
    """Return a share with Wilson's interval; nothing of no trials. Expected counts need not be whole."""
    if trials <= 0:
        return Estimate()
    low, high = wilson_interval(successes, trials)
    return Estimate(value=successes / trials, low=low, high=high, samples=round(trials))


def normal(
    value: float, variance: float, samples: int, *, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """Return value +- 1.96 standard errors within its bounds. `variance` is that of the value, not of one row."""
    half = Z_95 * math.sqrt(max(0.0, variance))
    return Estimate(value=value, low=max(least, value - half), high=min(most, value + half), samples=samples)


def f1_of(true_positives: float, false_positives: float, false_negatives: float) -> Estimate:
    """Return F1 of one class.

    F1 = 2 J / (1 + J) rises with J = TP / (TP + FP + FN), which is a share: its interval is Wilson's, carried over.
    """
    total = true_positives + false_positives + false_negatives
    jaccard = share(true_positives, total)
    if jaccard.value is None or jaccard.low is None or jaccard.high is None:
        return Estimate()
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value=value, low=low, high=high, samples=round(total))


def multinomial(value: float, gradient: Array, matrix: Array) -> Estimate:
    """Return a smooth function of a confusion matrix's shares, each from 0 to 1, by the delta method.

    Shapes: gradient and matrix (k, k); the gradient is by the shares matrix / n.
    Source: Takahashi et al., Confidence interval for micro-averaged F1 and macro-averaged F1 scores,
    Applied Intelligence 52 (2022): variance = (sum p g^2 - (sum p g)^2) / n.
    """
    samples = int(matrix.sum())
    shares = matrix / samples
    mean = float((shares * gradient).sum())
    variance = (float((shares * gradient**2).sum()) - mean * mean) / samples
    return normal(value, variance, samples, least=0.0, most=1.0)


def auc_of(positives: Array, negatives: Array) -> Estimate:
    """Return the area under the ROC curve from counts by score bin, lowest scores first; a tie counts half.

    Shapes: both (bins,). Against the area of the exact scores it is off by no more than half the share
    of pairs that fall into one bin.
    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), with binned scores; the interval is
    formed on the log-odds of the area, which keeps it in 0 to 1. An area of 0 or 1, whose variance
    is 0, takes Wilson's interval for as many trials as there are rows of the rarer kind.
    """
    m, n = float(positives.sum()), float(negatives.sum())
    if m <= 0 or n <= 0:
        return Estimate(samples=round(m + n))
    below = (np.cumsum(negatives) - negatives / 2) / n  # of a positive in a bin: share of negatives that it beats
    above = 1 - (np.cumsum(positives) - positives / 2) / m
    area = float((positives * below).sum() / m)
    if not 0 < area < 1:
        low, high = wilson_interval(round(area) * min(m, n), min(m, n))
        return Estimate(value=area, low=low, high=high, samples=round(m + n))
    spread = float((positives * (below - area) ** 2).sum()) / max(1.0, m - 1) / m
    spread += float((negatives * (above - area) ** 2).sum()) / max(1.0, n - 1) / n
    odds, half = math.log(area / (1 - area)), Z_95 * math.sqrt(spread) / (area * (1 - area))
    low, high = (1 / (1 + math.exp(-min(700.0, max(-700.0, odds + sign * half)))) for sign in (-1, 1))
    return Estimate(value=area, low=low, high=high, samples=round(m + n))


def mean_of(estimates: list[Estimate], *, samples: int) -> Estimate:
    """Return the plain mean of estimates that may hang together: averaging half-widths is never too narrow."""
    known = [e for e in estimates if e.value is not None]
    if not known:
        return Estimate()
    count = len(known)
    return Estimate(
        value=sum(e.value or 0.0 for e in known) / count,
        low=sum(e.low or 0.0 for e in known) / count,
        high=sum(e.high or 0.0 for e in known) / count,
        samples=samples,
    )


def differs(first: tuple[float, float], second: tuple[float, float], *, comparisons: int) -> bool:
    """Say whether two values (value, its variance) differ by more than chance: 5% over all comparisons."""
    variance = first[1] + second[1]
    if variance <= 0:
        return first[0] != second[0]
    limit = NormalDist().inv_cdf(1 - 0.05 / (2 * max(1, comparisons)))
    return abs(first[0] - second[0]) > limit * math.sqrt(variance)
