"""What data looked like, per feature, in sketches that merge exactly over time and replicas.

Training puts a profile of its data into the artifact; monitoring keeps the same kind of sketch
for each window, so that a baseline and a window can be compared with nothing to configure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from aiplatform.category_profiles import MAX_EXACT_CATEGORIES, CategoryProfile
from aiplatform.number_profiles import KLL_K, Moments, NumericProfile

__all__ = [
    "KLL_K",
    "MAX_EXACT_CATEGORIES",
    "CategoryProfile",
    "DataProfile",
    "FeatureProfile",
    "Moments",
    "NumericProfile",
    "feature_profile_from_dict",
    "profile_column",
]

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
