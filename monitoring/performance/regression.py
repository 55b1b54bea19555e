"""Measures of a model that says numbers, from exact sums of powers."""

from __future__ import annotations

import math
from fractions import Fraction

from monitoring.performance.counts import Counts
from monitoring.performance.intervals import normal
from monitoring.performance.results import Estimate, RegressionResult


def measure_regression(counts: Counts) -> RegressionResult | None:
    """Return every measure of the rows whose true number is known; None if there are none.

    Intervals: mean absolute error and bias are means of rows. Root mean squared error: the delta method
    on the mean of squares. R squared: see `_r_squared`.
    """
    rows = counts.valued
    if rows <= 0:
        return None
    absolute, error, square, fourth = (
        counts.moment(*m).fraction() / rows for m in ((1, 0, 0), (0, 1, 0), (0, 2, 0), (0, 4, 0))
    )
    scale = max(1, rows - 1)
    root = math.sqrt(_float(square))
    of_square = _float(fourth - square**2) / scale  # the variance of the mean of squares
    return RegressionResult(
        labelled=rows,
        mean_absolute_error=normal(_float(absolute), _float(square - absolute**2) / scale, rows, least=0.0),
        root_mean_squared_error=normal(root, of_square / (4 * root * root) if root else 0.0, rows, least=0.0),
        r_squared=_r_squared(counts),
        bias=normal(_float(error), _float(square - error**2) / scale, rows),
    )


def _r_squared(counts: Counts) -> Estimate:
    """Return 1 - U / V, with U the mean squared error and V the variance of the truth; unknown if V is 0.

    Interval by the delta method: the variance of a ratio of means r = U / V is that of the mean of
    (u - r v) / V over the rows (Cochran, Sampling Techniques, 3rd ed., 6.3), u = e^2 and v = (y - mean)^2.
    """
    rows = counts.valued
    y1, y2, y3, y4 = (counts.moment(0, 0, k).fraction() / rows for k in (1, 2, 3, 4))
    u, uu, uy, uyy = (counts.moment(*m).fraction() / rows for m in ((0, 2, 0), (0, 4, 0), (0, 2, 1), (0, 2, 2)))
    v = y2 - y1**2
    if not v:
        return Estimate(samples=rows)
    ratio = u / v
    vv = y4 - 4 * y1 * y3 + 6 * y1**2 * y2 - 3 * y1**4
    uv = uyy - 2 * y1 * uy + y1**2 * u
    variance = (uu - 2 * ratio * uv + ratio**2 * vv) / v**2 / rows
    return normal(_float(1 - ratio), _float(variance), rows, most=1.0)


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
