"""What data looked like, per feature, in sketches that merge exactly over time and replicas.

Training puts a profile of its data into the artifact; monitoring keeps the same kind of sketch
for each window, so that a baseline and a window can be compared with nothing to configure.

Numbers: KLL quantile sketch (Karnin, Lang, Liberty, 2016). Categories: frequent items sketch
(Misra-Gries as in Apache DataSketches), exact below `MAX_EXACT_CATEGORIES` distinct values.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import datasketches
import numpy as np

KLL_K = 200  # 1.3% normalized rank error, single-sided, at 99% confidence
FREQUENT_LG_SIZE = 8  # 256 slots, of which 75% hold items before any is dropped
MAX_EXACT_CATEGORIES = 192


def _encode(sketch: Any) -> str:
    return base64.b64encode(sketch.serialize()).decode("ascii")


@dataclass(kw_only=True)
class NumericProfile:
    """The distribution of one number; missing values (NaN) are counted apart."""

    missing: int = 0
    sketch: datasketches.kll_doubles_sketch = field(default_factory=lambda: datasketches.kll_doubles_sketch(KLL_K))

    @property
    def count(self) -> int:
        """Return how many values that were not missing went in."""
        return int(self.sketch.n)

    def update(self, values: np.ndarray[Any, Any]) -> None:
        """Add a vector of numbers, shape (n,); NaN and infinities count as missing."""
        numbers = np.asarray(values, dtype=np.float64).ravel()
        finite = numbers[np.isfinite(numbers)]
        self.missing += int(numbers.size - finite.size)
        if finite.size:
            self.sketch.update(finite)

    def merge(self, other: NumericProfile) -> None:
        """Add all that the other has seen."""
        self.missing += other.missing
        self.sketch.merge(other.sketch)

    def quantiles(self, ranks: Iterable[float]) -> list[float]:
        """Return the values at the given ranks (0 to 1); empty if nothing went in."""
        return [] if not self.count else [float(q) for q in self.sketch.get_quantiles(list(ranks))]

    def cdf(self, points: Iterable[float]) -> list[float]:
        """Return the share of values at or below each point; points must be sorted and unique."""
        wanted = list(points)
        return [] if not self.count else [float(c) for c in self.sketch.get_cdf(wanted, True)[: len(wanted)]]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {"type": "numeric", "missing": self.missing, "sketch": _encode(self.sketch)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        raw = base64.b64decode(data["sketch"])
        return cls(missing=int(data["missing"]), sketch=datasketches.kll_doubles_sketch.deserialize(raw))


@dataclass(kw_only=True)
class CategoryProfile:
    """How often each value of one category occurs; None counts as missing."""

    missing: int = 0
    sketch: datasketches.frequent_strings_sketch = field(
        default_factory=lambda: datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE)
    )

    @property
    def count(self) -> int:
        """Return how many values that were not missing went in."""
        return int(self.sketch.total_weight)

    def update(self, values: Iterable[Any]) -> None:
        """Add values; each is counted under its text. None and NaN are missing."""
        counts: dict[str, int] = {}
        for value in values:
            if value is None or value != value:  # NaN, as tables write a missing text
                self.missing += 1
            else:
                key = str(value)
                counts[key] = counts.get(key, 0) + 1
        self.add_counts(counts)

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Add values already counted."""
        for key, count in counts.items():
            self.sketch.update(key, count)

    def merge(self, other: CategoryProfile) -> None:
        """Add all that the other has seen."""
        self.missing += other.missing
        self.sketch.merge(other.sketch)

    def counts(self) -> dict[str, int]:
        """Return counts by category, most frequent first."""
        if self.sketch.is_empty():
            return {}
        kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        return {str(row[0]): int(row[1]) for row in self.sketch.get_frequent_items(kind)}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {"type": "category", "missing": self.missing, "sketch": _encode(self.sketch)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        raw = base64.b64decode(data["sketch"])
        return cls(missing=int(data["missing"]), sketch=datasketches.frequent_strings_sketch.deserialize(raw))


FeatureProfile = NumericProfile | CategoryProfile


def feature_profile_from_dict(data: Mapping[str, Any]) -> FeatureProfile:
    """Rebuild one feature's profile by its `type`."""
    kind = data.get("type")
    if kind == "numeric":
        return NumericProfile.from_dict(data)
    if kind == "category":
        return CategoryProfile.from_dict(data)
    raise ValueError(f"a feature profile has type 'numeric' or 'category', not {kind!r}")


def profile_column(values: np.ndarray[Any, Any]) -> FeatureProfile:
    """Return the profile of one column: numbers for numeric dtypes, categories for the rest."""
    profile: FeatureProfile = NumericProfile() if values.dtype.kind in "fiub" else CategoryProfile()
    profile.update(values)
    return profile


@dataclass(kw_only=True)
class DataProfile:
    """A data set's features, its predicted labels (`label`) and confidences (`confidence`)."""

    rows: int = 0
    features: dict[str, FeatureProfile] = field(default_factory=dict)
    outputs: dict[str, FeatureProfile] = field(default_factory=dict)

    def update(
        self,
        features: Mapping[str, np.ndarray[Any, Any]],
        outputs: Mapping[str, np.ndarray[Any, Any]] | None = None,
    ) -> None:
        """Add columns of equal length, shape (n,) each, by name."""
        for group, columns in ((self.features, features), (self.outputs, outputs or {})):
            for name, values in columns.items():
                _merge_into(group, name, profile_column(values))
        self.rows += len(next(iter(features.values()))) if features else 0

    def merge(self, other: DataProfile) -> None:
        """Add all that the other has seen."""
        for group, theirs in ((self.features, other.features), (self.outputs, other.outputs)):
            for name, profile in theirs.items():
                _merge_into(group, name, profile)
        self.rows += other.rows

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form."""
        return {
            "rows": self.rows,
            "features": {name: profile.to_dict() for name, profile in self.features.items()},
            "outputs": {name: profile.to_dict() for name, profile in self.outputs.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`."""
        return cls(
            rows=int(data["rows"]),
            features={n: feature_profile_from_dict(p) for n, p in data["features"].items()},
            outputs={n: feature_profile_from_dict(p) for n, p in data["outputs"].items()},
        )


def _merge_into(group: dict[str, FeatureProfile], name: str, profile: FeatureProfile) -> None:
    mine = group.setdefault(name, type(profile)())
    if type(mine) is not type(profile):
        raise ValueError(f"feature '{name}' is {type(mine).__name__} here and {type(profile).__name__} there")
    mine.merge(profile)  # type: ignore[arg-type]  # both are of one class, as just checked
