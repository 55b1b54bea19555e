"""Puts a baseline and a window into the same bins, which the baseline alone decides."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.profiles import CategoryProfile, NumericProfile
from monitoring.drift.ks import Sample, cumulative_shares, read_sample

BINS = 10
MAX_CATEGORY_BINS = 20
OTHER, NEW, MISSING = "(other)", "(new)", "(missing)"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class BinnedPair:
    """Counts of baseline and window by bin, shape (k,) each; `names` has k entries."""

    names: tuple[str, ...]
    baseline: Array
    window: Array


def bin_edges(baseline: NumericProfile) -> list[float]:
    """Return the baseline's deciles, rounded as windows' values are, ascending and unique.

    A value that fills more than one decile gets a bin of its own: an edge just below it is added.
    """
    return _edges_of(read_sample(baseline))


def _edges_of(baseline: Sample) -> list[float]:
    values, shares = baseline
    if not values.size:
        return []
    places = np.searchsorted(shares, np.arange(1, BINS) / BINS - 1e-12)
    quantiles = [float(q) for q in values[np.minimum(places, len(values) - 1)]]
    edges = set(quantiles)
    edges |= {float(np.nextafter(q, -np.inf)) for q in edges if quantiles.count(q) > 1}
    return sorted(edges)


def bin_numbers(baseline: NumericProfile, window: NumericProfile) -> BinnedPair:
    """Return counts between the baseline's deciles; missing values are a bin if there are any.

    Error: each share is within the sketch's normalized rank error for shares (3.2% in a window of
    many values, 1.7% in a baseline), exact while the sketch keeps every value.
    """
    # Read once: it is most of the work, and a report bins each feature at every point of a chart.
    sample = read_sample(baseline)
    edges = _edges_of(sample)
    names = _range_names(edges)
    sides = [_numeric_counts(sample, baseline.count, edges), _numeric_counts(read_sample(window), window.count, edges)]
    return _with_missing(names, sides[0], sides[1], baseline.missing, window.missing)


def _range_names(edges: list[float]) -> list[str]:
    """Return the bins' names with as few digits as tell the edges apart.

    An edge just below another (see `bin_edges`) makes a bin of one value: `< 3`, `= 3`.
    """
    if not edges:
        return []
    is_just_below = [float(np.nextafter(high, -np.inf)) == low for low, high in itertools.pairwise(edges)] + [False]
    told = [edges[i + is_just_below[i]] for i in range(len(edges))]
    finest = min((high - low for low, high in itertools.pairwise(told) if high > low), default=math.inf) / 10
    texts = ([f"{edge:.{digits}g}" for edge in told] for digits in (4, 6, 8, 12, 17))
    names = next(t for t in texts if all(abs(float(name) - edge) <= finest for name, edge in zip(t, told, strict=True)))
    signs = ["<" if below else "=" if i and is_just_below[i - 1] else "≤" for i, below in enumerate(is_just_below)]
    return [*(f"{sign} {name}" for sign, name in zip(signs, names, strict=True)), f"> {names[-1]}"]


def bin_for_tests(baseline: CategoryProfile, window: CategoryProfile) -> BinnedPair | None:
    """Return counts that no choice of bins has biased: by name if they are few, else by the names' hash.

    The most frequent of many categories were frequent by chance, too, and some were not seen at all:
    bins chosen by the baseline's counts would find drift where there is none. None: a baseline made
    before there were buckets, with more names than it could keep.
    """
    if baseline.is_exact and window.is_exact and len(baseline.counts()) <= MAX_CATEGORY_BINS:
        return bin_categories(baseline, window)
    if baseline.buckets is None or window.buckets is None:
        return None
    names = [f"hash {place}" for place in range(len(baseline.buckets))]
    counts = [side.buckets.astype(np.float64) for side in (baseline, window) if side.buckets is not None]
    return _with_missing(names, counts[0], counts[1], baseline.missing, window.missing)


def new_categories(baseline: CategoryProfile, window: CategoryProfile) -> dict[str, int]:
    """Return the window's categories that the baseline does not have, most frequent first; none if it lost names."""
    known = baseline.counts()
    if not baseline.is_exact:
        return {}
    return {name: count for name, count in window.counts().items() if name not in known}


def bin_categories(baseline: CategoryProfile, window: CategoryProfile) -> BinnedPair:
    """Return counts of the baseline's most frequent categories, of all its others, and of new ones.

    A baseline that has lost names of its own cannot tell new ones from rare ones: they count as others.
    """
    known, seen = baseline.counts(), window.counts()
    names = sorted(list(known)[:MAX_CATEGORY_BINS])
    is_complete = baseline.is_exact
    left = [_rest(counts, names, total) for counts, total in ((known, baseline.count), (seen, window.count))]
    new = sum(count for name, count in seen.items() if name not in known) if is_complete else 0
    counts = [[float(c.get(name, 0)) for name in names] for c in (known, seen)]
    has_other = left[0] > 0
    if has_other:
        names, counts = [*names, OTHER], [[*counts[0], left[0]], [*counts[1], max(0.0, left[1] - new)]]
    if left[1] > 0 and (new or not has_other):
        names, counts = [*names, NEW], [[*counts[0], 0.0], [*counts[1], float(new) if has_other else left[1]]]
    return _with_missing(names, np.array(counts[0]), np.array(counts[1]), baseline.missing, window.missing)


def smoothed_shares(counts: Array) -> Array:
    """Return shares with half a count added to each bin, so that an empty bin has a logarithm."""
    shares: Array = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _numeric_counts(sample: Sample, count: int, edges: list[float]) -> Array:
    if not count or not edges:
        return np.zeros(len(edges) + 1 if edges else 0)
    shares = np.diff(cumulative_shares(sample, np.array(edges)), prepend=0.0, append=1.0)
    counts: Array = np.clip(shares, 0.0, 1.0) * count
    return counts


def _rest(counts: dict[str, int], names: list[str], total: int) -> float:
    return max(0.0, float(total - sum(counts.get(name, 0) for name in names)))


def _with_missing(names: list[str], baseline: Array, window: Array, missing: int, window_missing: int) -> BinnedPair:
    if not (missing or window_missing):
        return BinnedPair(names=tuple(names), baseline=baseline, window=window)
    return BinnedPair(
        names=(*names, MISSING), baseline=np.append(baseline, missing), window=np.append(window, window_missing)
    )
