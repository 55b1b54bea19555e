"""What a version's baseline leads to expect of each feature: its segments, its range, its categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aiplatform.profiles import MAX_EXACT_CATEGORIES, CategoryProfile, DataProfile, NumericProfile
from monitoring.baselines import load_baseline
from monitoring.models import ServedVersion
from monitoring.performance.segments import Array, Segmentation, derive_segmentation

MAX_TEXT = 200  # characters of a category that are told apart
MAX_KNOWN = 64  # artifacts whose expectations are in memory


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """Follows from the artifact's profile alone, so every process and window of a version has the same."""

    segmentation: Segmentation
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    categories: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def count_strange(
        self, numbers: Mapping[str, Array], categories: Mapping[str, tuple[Array, Sequence[str]]], chosen: Array
    ) -> dict[str, int]:
        """Return by feature how many chosen rows (mask, shape (rows,)) are out of range or of a new category."""
        found: dict[str, int] = {}
        for name, (low, high) in self.ranges.items():
            if name in numbers:
                values = numbers[name][chosen]
                found[name] = int(np.count_nonzero(np.isfinite(values) & ((values < low) | (values > high))))
        for name, known in self.categories.items():
            if name in categories:
                codes, texts = categories[name]
                is_new = np.array([*(text not in known for text in texts), False])  # code -1 is the last: missing
                found[name] = int(np.count_nonzero(is_new[codes[chosen]]))
        return found


def derive_expectations(profile: DataProfile) -> Expectations:
    """Return what a profile leads to expect. A feature with too many categories to know them all has none."""
    ranges, categories = {}, {}
    for name, feature in profile.features.items():
        if isinstance(feature, NumericProfile) and feature.count:
            low, high = feature.quantiles([0.0, 1.0])
            ranges[name] = (low, high)
        elif isinstance(feature, CategoryProfile) and 0 < len(feature.counts()) < MAX_EXACT_CATEGORIES:
            categories[name] = frozenset(text[:MAX_TEXT] for text in feature.counts())
    return Expectations(segmentation=derive_segmentation(profile), ranges=ranges, categories=categories)


def find_expectations(served: ServedVersion) -> Expectations | None:
    """Return what the baseline of a served version leads to expect; None while it has none."""
    known = _by_digest.get(served.artifact_digest)
    if known is None:
        profile = load_baseline(served).profile
        if profile is None:
            return None
        while len(_by_digest) >= MAX_KNOWN:
            _by_digest.pop(next(iter(_by_digest)), None)
        known = _by_digest[served.artifact_digest] = derive_expectations(profile)
    return known


_by_digest: dict[str, Expectations] = {}
