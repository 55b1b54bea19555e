"""Distributions and profiles for the tests of drift."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import numpy as np

from aiplatform.profiles import CategoryProfile, NumericProfile
from monitoring.packing import pack_feature, unpack_feature

Sampler = Callable[[np.random.Generator, int], np.ndarray]

NUMBERS: dict[str, tuple[Sampler, Sampler]] = {
    "same normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(size=n)),
    "shifted normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(0.7, size=n)),
    "wider normal": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(0, 2.5, size=n)),
    "exponential": (lambda r, n: r.exponential(size=n), lambda r, n: r.exponential(1.6, size=n)),
    "heavy tail": (lambda r, n: r.standard_t(1.5, n), lambda r, n: r.standard_t(1.5, n) + 1),
    "two humps": (lambda r, n: r.normal(size=n), lambda r, n: r.normal(r.choice([-2, 2], n), 0.5)),
    "whole numbers": (lambda r, n: r.poisson(3, n).astype(float), lambda r, n: r.poisson(4, n).astype(float)),
    "tied": (lambda r, n: np.round(r.normal(size=n), 1), lambda r, n: np.round(r.normal(0.3, size=n), 1)),
    "constant": (lambda r, n: np.full(n, 0.1), lambda r, n: np.full(n, 0.1)),
    "constant that changed": (lambda r, n: np.full(n, 0.1), lambda r, n: np.full(n, 0.3)),
    "far from zero": (lambda r, n: r.normal(1e5, 500, n), lambda r, n: r.normal(1e5 + 200, 500, n)),
    "mostly zero": (lambda r, n: r.binomial(1, 0.1, n) * r.random(n), lambda r, n: r.binomial(1, 0.3, n) * r.random(n)),
    "missing": (lambda r, n: _holes(r, r.normal(size=n), 0.1), lambda r, n: _holes(r, r.normal(0.5, size=n), 0.3)),
}  # fmt: skip
SIZES = [(150, 120), (900, 300), (20_000, 3_000), (5_000, 50_000)]


def _holes(random: np.random.Generator, values: np.ndarray, share: float) -> np.ndarray:
    return np.where(random.random(len(values)) < share, np.nan, values)


def sample(pair: str, sizes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return baseline and window of a pair; the same each time."""
    random = np.random.default_rng(crc32(f"{pair} {sizes}".encode()))
    return NUMBERS[pair][0](random, sizes[0]), NUMBERS[pair][1](random, sizes[1])


def baseline_of(values: np.ndarray) -> NumericProfile:
    """Return a profile as an artifact has it."""
    profile = NumericProfile()
    profile.update(values)
    return profile


def window_of(values: np.ndarray, *, parts: int = 7) -> NumericProfile:
    """Return a profile as a window has it: merged from several batches, packed and read again."""
    profile = NumericProfile.for_window()
    for part in np.array_split(values, parts):
        batch = NumericProfile.for_window()
        batch.update(part)
        profile.merge(batch)
    found = unpack_feature(pack_feature(profile))
    assert isinstance(found, NumericProfile)
    return found


def finite(values: np.ndarray) -> np.ndarray:
    """Return the values that are not missing."""
    kept: np.ndarray = values[np.isfinite(values)]
    return kept


def categories_of(values: np.ndarray, *, parts: int = 1) -> CategoryProfile:
    """Return a profile of texts; of several batches, packed and read again, if there are parts."""
    profile = CategoryProfile()
    for part in np.array_split(values, parts):
        batch = CategoryProfile()
        batch.update(part.tolist())
        profile.merge(batch)
    found = profile if parts == 1 else unpack_feature(pack_feature(profile))
    assert isinstance(found, CategoryProfile)
    return found
