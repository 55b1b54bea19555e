"""The distribution of one number in a sketch that merges: quantiles, exact moments, what is missing.

A KLL quantile sketch (Karnin, Lang, Liberty, 2016) of doubles with k = 200 for a baseline in an
artifact (1.3% normalized rank error, single-sided, at 99% confidence); a smaller one of rounded
floats for a window (aiplatform.quantile_bytes).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import datasketches
import numpy as np

from aiplatform.quantile_bytes import WINDOW_K, KllSketch, kept_values, round_numbers, to_window_sketch

KLL_K = 200
UNION_K = 400  # of many windows' sketches merged to be read once
# The stated bound holds for all ranks at once. One rank's error, measured over distributions and numbers of
# merges, has a fifth of it as its standard deviation (k = 100) or less than a quarter (k = 200).
RANK_DEVIATIONS = 4.0
_TAME = 1e145  # numbers beyond count as this in mean and deviation, so that squares stay finite
Array = np.ndarray[Any, Any]


@dataclass(kw_only=True)
class Moments:
    """Count, mean, sum of squared distances from the mean, least and greatest: exact, and they merge."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @property
    def deviation(self) -> float:
        """Return the standard deviation (of the population); 0 if nothing went in."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    @classmethod
    def of(cls, values: Array, weights: Array | None = None) -> Self:
        """Return the moments of finite numbers, shape (n,)."""
        if not values.size:
            return cls()
        tame = np.clip(values, -_TAME, _TAME)
        mean = float(np.average(tame, weights=weights))
        squares = float(np.sum((tame - mean) ** 2 * (1.0 if weights is None else weights)))
        count = int(values.size if weights is None else weights.sum())
        return cls(count=count, mean=mean, squares=squares, low=float(values.min()), high=float(values.max()))

    def merge(self, other: Moments) -> None:
        """Add all that the other has seen. Source: Chan, Golub, LeVeque (1979)."""
        count = self.count + other.count
        if not other.count:
            return
        step = other.mean - self.mean
        self.squares += other.squares + step * step * (self.count / count) * other.count
        self.mean += step * (other.count / count)
        self.count, self.low, self.high = count, min(self.low, other.low), max(self.high, other.high)


@dataclass(kw_only=True)
class RangeCounts:
    """How many values were compared with the baseline's range, and lay below and above it."""

    checked: int = 0
    below: int = 0
    above: int = 0

    def merge(self, other: RangeCounts) -> None:
        """Add the other's counts."""
        self.checked += other.checked
        self.below += other.below
        self.above += other.above


@dataclass(kw_only=True)
class NumericProfile:
    """The distribution of one number; missing values (NaN and infinities) are counted apart.

    `spread` is the sum over merged sketches of their squared rank errors in values: errors of
    sketches that were made apart are independent, so they grow by the root of their number only.
    """

    missing: int = 0
    sketch: KllSketch = field(default_factory=lambda: datasketches.kll_doubles_sketch(KLL_K))
    moments: Moments = field(default_factory=Moments)
    ranges: RangeCounts = field(default_factory=RangeCounts)
    spread: float = 0.0

    @classmethod
    def for_window(cls) -> Self:
        """Return an empty profile that fits into a window: under 1 KiB whatever goes in."""
        return cls(sketch=datasketches.kll_floats_sketch(WINDOW_K))

    @classmethod
    def for_union(cls) -> Self:
        """Return an empty profile for many windows together, to be read and not kept."""
        return cls(sketch=datasketches.kll_floats_sketch(UNION_K))

    @property
    def count(self) -> int:
        """Return how many values that were not missing went in."""
        return int(self.sketch.n)

    @property
    def is_exact(self) -> bool:
        """Say whether the sketch has kept every value."""
        return not self.sketch.is_estimation_mode() and not self.spread

    @property
    def rank_deviation(self) -> float:
        """Return the standard deviation of a rank's error by sketching, as a share; 0 if it is exact."""
        if not self.count:
            return 0.0
        return math.sqrt(self._own_deviation() ** 2 + self.spread / self.count**2)

    @property
    def rank_error(self) -> float:
        """Return how far any rank may be off by sketching, as a share, at 99% confidence; 0 if it is exact."""
        return RANK_DEVIATIONS * self.rank_deviation

    def _own_deviation(self) -> float:
        if not self.sketch.is_estimation_mode():
            return 0.0
        return float(type(self.sketch).get_normalized_rank_error(self.sketch.k, False)) / RANK_DEVIATIONS

    def update(self, values: Array, *, limits: tuple[float, float] | None = None) -> None:
        """Add a vector of numbers, shape (n,); `limits` are the baseline's least and greatest, if known."""
        numbers = np.asarray(values, dtype=np.float64).ravel()
        finite = numbers[np.isfinite(numbers)]
        self.missing += int(numbers.size - finite.size)
        if not finite.size:
            return
        self.moments.merge(Moments.of(finite))
        is_rounded = isinstance(self.sketch, datasketches.kll_floats_sketch)
        self.sketch.update(round_numbers(finite) if is_rounded else finite)
        if limits is not None:
            below, above = int((finite < limits[0]).sum()), int((finite > limits[1]).sum())
            self.ranges.merge(RangeCounts(checked=int(finite.size), below=below, above=above))

    def merge(self, other: NumericProfile) -> None:
        """Add all that the other has seen."""
        self.missing += other.missing
        self.moments.merge(other.moments)
        self.ranges.merge(other.ranges)
        self.spread += (other.rank_deviation * other.count) ** 2
        theirs = other.sketch
        if type(self.sketch) is not type(theirs):  # a window once written with doubles
            self.sketch, theirs = _as_floats(self.sketch), _as_floats(theirs)
        self.sketch.merge(theirs)

    def quantiles(self, ranks: Iterable[float]) -> list[float]:
        """Return the values at the given ranks (0 to 1); empty if nothing went in."""
        return [] if not self.count else [float(q) for q in self.sketch.get_quantiles(list(ranks))]

    def cdf(self, points: Iterable[float]) -> list[float]:
        """Return the share of values at or below each point; points must be sorted and unique."""
        wanted = list(points)
        return [] if not self.count else [float(c) for c in self.sketch.get_cdf(wanted, True)[: len(wanted)]]

    def kept(self) -> tuple[Array, Array]:
        """Return the kept values, rounded and in order, and their weights, shape (kept,) each."""
        return kept_values(self.sketch)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form, of a baseline."""
        encoded = base64.b64encode(self.sketch.serialize()).decode("ascii")
        m = self.moments
        moments = [m.count, m.mean, m.squares, m.low, m.high] if m.count else None
        return {"type": "numeric", "missing": self.missing, "sketch": encoded, "moments": moments}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`; moments that an older one lacks are those of the kept values."""
        sketch = datasketches.kll_doubles_sketch.deserialize(base64.b64decode(data["sketch"]))
        if data.get("moments"):
            count, mean, squares, low, high = data["moments"]
            moments = Moments(count=int(count), mean=mean, squares=squares, low=low, high=high)
        else:
            moments = Moments.of(*kept_values(sketch))
        return cls(missing=int(data["missing"]), sketch=sketch, moments=moments)


def _as_floats(sketch: KllSketch) -> KllSketch:
    return to_window_sketch(sketch) if isinstance(sketch, datasketches.kll_doubles_sketch) else sketch
