"""Many tests at once: which of them are more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini-Hochberg's adjusted p-values, in the order given.

    Rejecting all at or below a level keeps the expected share of false ones among the rejected at or
    below it; without any drift it is the chance of one false verdict in the whole table.
    Source: Benjamini, Hochberg, J. Royal Stat. Soc. B 57 (1995). It holds under independence and
    positive dependence (Benjamini, Yekutieli, 2001).
    """
    if not p_values:
        return []
    ordered = np.argsort(p_values)
    scaled = np.asarray(p_values)[ordered] * len(p_values) / np.arange(1, len(p_values) + 1)
    adjusted = np.empty(len(p_values))
    adjusted[ordered] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return [float(p) for p in adjusted]


def combine_p_values(p_values: Sequence[float]) -> float:
    """Return one p-value of several tests of the same data, whatever their dependence (Bonferroni)."""
    return min(1.0, min(p_values) * len(p_values))
