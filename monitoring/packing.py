"""A window's profile in bytes: under 1 KiB a feature, whatever went in.

Numbers: the packed quantile sketch with its exact moments. Categories: their names alone while all
of them fit, since buckets and the distinct count follow from the names; otherwise buckets, distinct
count, and the most frequent names that fit.
"""

from __future__ import annotations

import zlib
from typing import Any

import datasketches
import msgspec
import numpy as np

from aiplatform.category_profiles import CategoryProfile
from aiplatform.number_profiles import Moments, NumericProfile, RangeCounts
from aiplatform.profiles import DataProfile, FeatureProfile
from aiplatform.quantile_bytes import pack_sketch, to_window_sketch, unpack_sketch

FORMAT = 1
MAX_FEATURE_BYTES = 1024  # its name not counted
MAX_NAMES_BYTES = 960  # of all names, where they say everything
MAX_SOME_NAMES_BYTES = 480  # of some names, beside buckets (at most 330 bytes) and the distinct count (170)
NUMBERS, CATEGORIES = 0, 1

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def pack_profile(profile: DataProfile) -> bytes:
    """Return what `unpack_profile` reads."""
    groups = [{name: pack_feature(p) for name, p in group.items()} for group in (profile.features, profile.outputs)]
    return _encode([FORMAT, profile.rows, *groups])


def unpack_profile(raw: bytes | memoryview) -> DataProfile:
    """Return a window's profile. Raises: ValueError if it was written in another format."""
    form, rows, features, outputs = _decode(bytes(raw))
    if form != FORMAT:
        raise ValueError(f"a window's profile has format {FORMAT}, not {form}")
    groups = [{name: unpack_feature(entry) for name, entry in group.items()} for group in (features, outputs)]
    return DataProfile(rows=rows, features=groups[0], outputs=groups[1])


def pack_feature(profile: FeatureProfile) -> bytes:
    """Return one feature's profile in at most MAX_FEATURE_BYTES."""
    return _encode(_numbers(profile) if isinstance(profile, NumericProfile) else _categories(profile))


def unpack_feature(raw: bytes) -> FeatureProfile:
    """Return what `pack_feature` was given, as far as it fitted."""
    kind, *entry = _decode(raw)
    return _read_numbers(*entry) if kind == NUMBERS else _read_categories(*entry)


def _numbers(profile: NumericProfile) -> list[Any]:
    is_doubles = isinstance(profile.sketch, datasketches.kll_doubles_sketch)
    sketch = to_window_sketch(profile.sketch) if is_doubles else profile.sketch
    m, r = profile.moments, profile.ranges
    moments = [m.mean, m.squares, m.low, m.high] if m.count else []
    return [NUMBERS, profile.missing, m.count, moments, [r.checked, r.below, r.above], pack_sketch(sketch)]


def _read_numbers(missing: int, count: int, moments: list[float], ranges: list[int], sketch: bytes) -> NumericProfile:
    known = Moments(count=count, **dict(zip(("mean", "squares", "low", "high"), moments, strict=False)))
    checked = RangeCounts(checked=ranges[0], below=ranges[1], above=ranges[2])
    return NumericProfile(missing=missing, sketch=unpack_sketch(sketch), moments=known, ranges=checked)


def _categories(profile: CategoryProfile) -> list[Any]:
    names = sorted(profile.counts().items(), key=lambda named: (-named[1], named[0]))
    if profile.is_exact:
        packed = _pack_names(names)
        if len(packed) <= MAX_NAMES_BYTES:
            return [CATEGORIES, profile.missing, profile.count, packed]
    packed = _pack_names(names)
    while len(packed) > MAX_SOME_NAMES_BYTES:
        names = names[: min(len(names) - 1, len(names) * MAX_SOME_NAMES_BYTES // len(packed))]
        packed = _pack_names(names)
    distinct = profile.distinct_sketch.serialize_compact()
    return [CATEGORIES, profile.missing, profile.count, packed, _pack_buckets(profile.buckets), distinct]


def _read_categories(
    missing: int, count: int, packed: bytes, buckets: bytes | None = None, distinct: bytes | None = None
) -> CategoryProfile:
    keys, counts = _decode(zlib.decompress(packed))
    profile = CategoryProfile(missing=missing)
    if distinct is None:
        profile.add_counts(dict(zip(keys, counts, strict=True)))
        return profile
    for key, known in zip(keys, counts, strict=True):
        profile.sketch.update(key, known)
    profile.untracked = count - sum(counts)
    profile.distinct_sketch = datasketches.hll_sketch.deserialize(distinct)
    profile.buckets = None if buckets is None else _read_buckets(buckets)
    return profile


def _pack_names(names: list[tuple[str, int]]) -> bytes:
    return zlib.compress(_encode([[key for key, _ in names], [count for _, count in names]]), 6)


def _pack_buckets(buckets: np.ndarray[Any, Any] | None) -> bytes | None:
    """Return counts in as few bytes each as the greatest needs (five hold a million million)."""
    if buckets is None:
        return None
    width = max(1, -(-int(buckets.max(initial=0)).bit_length() // 8))
    planes = buckets.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return bytes([width]) + planes.tobytes()


def _read_buckets(raw: bytes) -> np.ndarray[Any, Any]:
    wide = np.zeros((len(raw[1:]) // raw[0], 8), dtype=np.uint8)
    wide[:, : raw[0]] = np.frombuffer(raw[1:], np.uint8).reshape(-1, raw[0])
    counts: np.ndarray[Any, Any] = wide.view("<u8")[:, 0].astype(np.int64)
    return counts
