"""The values of a feature by which performance is told apart: its baseline's fifths, or its categories.

They follow from the artifact's profile alone, so every window of a version has the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.performance.labelled_rows import NO_SEGMENT

RANKS = (0.2, 0.4, 0.6, 0.8)
MAX_CATEGORIES = 30  # the most frequent of the baseline
MAX_FEATURES = 64

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class FeatureSegments:
    """The segments of one feature: between rising `cuts`, or by category. The last one is 'missing'."""

    feature: str
    names: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    is_numeric: bool = True


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The segments of all features, in the order in which rows are encoded."""

    features: tuple[FeatureSegments, ...]

    def encode(
        self,
        rows: int,
        numbers: Mapping[str, Array],
        categories: Mapping[str, tuple[Array, Sequence[str]]],
    ) -> Array | None:
        """Return the number of each row's segment by feature, shape (rows, features), uint8."""
        if not self.features:
            return None
        found = np.full((rows, len(self.features)), NO_SEGMENT, np.uint8)
        for place, segments in enumerate(self.features):
            if segments.is_numeric and segments.feature in numbers:
                found[:, place] = _encode_numbers(numbers[segments.feature], segments)
            elif not segments.is_numeric and segments.feature in categories:
                found[:, place] = _encode_texts(*categories[segments.feature], segments)
        return found


def derive_segmentation(profile: DataProfile) -> Segmentation:
    """Return the segments that a baseline gives; a feature that has only one value gives none."""
    found = [_segments_of(name, feature) for name, feature in sorted(profile.features.items())]
    return Segmentation(features=tuple(s for s in found if s is not None)[:MAX_FEATURES])


def _segments_of(name: str, profile: FeatureProfile) -> FeatureSegments | None:
    if isinstance(profile, CategoryProfile):
        counts = sorted(profile.counts().items(), key=lambda item: (-item[1], item[0]))
        known = tuple(sorted(name for name, _ in counts[:MAX_CATEGORIES]))
        names = (*known, "any other", "missing")
        return FeatureSegments(feature=name, names=names, categories=known, is_numeric=False) if known else None
    if not isinstance(profile, NumericProfile) or not profile.count:
        return None
    cuts = tuple(sorted(set(profile.quantiles(RANKS))))
    if cuts and cuts[-1] >= profile.quantiles([1.0])[0]:
        cuts = cuts[:-1]  # nothing lies above
    if not cuts:
        return None
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(cuts)]
    names = (f"up to {cuts[0]:.4g}", *inner, f"above {cuts[-1]:.4g}", "missing")
    return FeatureSegments(feature=name, names=names, cuts=cuts)


def _encode_numbers(values: Array, segments: FeatureSegments) -> Array:
    found = np.searchsorted(np.array(segments.cuts), values, side="left")
    return np.where(np.isfinite(values), found, len(segments.names) - 1)


def _encode_texts(codes: Array, texts: Sequence[str], segments: FeatureSegments) -> Array:
    places = {text: place for place, text in enumerate(segments.categories)}
    other, missing = len(segments.names) - 2, len(segments.names) - 1
    table = np.array([*(places.get(text, other) for text in texts), missing])
    found: Array = table[codes]  # code -1 is the last place
    return found
