"""Tail probabilities of the distributions that the tests need; scipy is not installed with monitoring."""

from __future__ import annotations

import math

import numpy as np

TERMS = 101  # of Kolmogorov's series; it converges after a few
STEPS = 500
TINY = 1e-300


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return P(X >= statistic), X being chi-square distributed.

    It is the upper regularized gamma function Q(degrees / 2, statistic / 2), by its series below
    a + 1 and by Lentz's continued fraction above.
    Source: Press et al., Numerical Recipes, 3rd ed. (2007), section 6.2.
    """
    a, x = degrees / 2.0, statistic / 2.0
    if x <= 0.0:
        return 1.0
    log_scale = a * math.log(x) - x - math.lgamma(a)
    if x < a + 1.0:
        return min(1.0, max(0.0, 1.0 - math.exp(log_scale) * _gamma_series(a, x)))
    return min(1.0, math.exp(log_scale) * _gamma_fraction(a, x))


def kolmogorov_tail(distance: float, *, baseline_samples: float, window_samples: float) -> float:
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


def _gamma_series(a: float, x: float) -> float:
    term = total = 1.0 / a
    for step in range(1, STEPS):
        term *= x / (a + step)
        total += term
        if term < total * 1e-16:
            break
    return total


def _gamma_fraction(a: float, x: float) -> float:
    b = x + 1.0 - a
    c, d = 1.0 / TINY, 1.0 / b
    value = d
    for step in range(1, STEPS):
        numerator = -step * (step - a)
        b += 2.0
        d = 1.0 / _away_from_zero(numerator * d + b)
        c = _away_from_zero(b + numerator / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
