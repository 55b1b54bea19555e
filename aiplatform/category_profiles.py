"""How often each value of one category occurs: names as far as they fit, and counts that always do.

Names: the frequent items sketch (Misra-Gries as in Apache DataSketches), exact below
`MAX_EXACT_CATEGORIES` distinct values. Beside it each value is counted in one of `BUCKETS` by its
hash: those counts are exact and merge whatever the number of distinct values, so two distributions
of ten thousand names can be compared where their names no longer fit. How many distinct values
there were: HyperLogLog, standard error 6.5%.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import datasketches
import numpy as np

FREQUENT_LG_SIZE = 8  # 256 slots, of which 75% hold items before any is dropped
MAX_EXACT_CATEGORIES = 192
BUCKETS = 64
HLL_LG_K = 8
HLL_TYPE = datasketches.tgt_hll_type.HLL_4
MAX_KEY = 48  # bytes of a name; a longer one is known by its beginning and a hash
Array = np.ndarray[Any, Any]


def category_key(text: str) -> str:
    """Return the name under which a value is counted."""
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_KEY:
        return text
    head = raw[: MAX_KEY - 9].decode("utf-8", "ignore")
    return f"{head}~{hashlib.blake2b(raw, digest_size=4).hexdigest()}"


def bucket_of(key: str) -> int:
    """Return the bucket in which a value is counted."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) % BUCKETS


def _new_sketch() -> datasketches.frequent_strings_sketch:
    return datasketches.frequent_strings_sketch(FREQUENT_LG_SIZE)


def _new_distinct() -> datasketches.hll_sketch:
    return datasketches.hll_sketch(HLL_LG_K, HLL_TYPE)


@dataclass(kw_only=True)
class CategoryProfile:
    """How often each value of one category occurs; None counts as missing.

    `untracked` values were counted, but the names they had are no longer known. `buckets` is of shape
    (BUCKETS,), None in a baseline made before there were any and with too many names to tell.
    """

    missing: int = 0
    sketch: datasketches.frequent_strings_sketch = field(default_factory=_new_sketch)
    untracked: int = 0
    buckets: Array | None = field(default_factory=lambda: np.zeros(BUCKETS, dtype=np.int64))
    distinct_sketch: datasketches.hll_sketch = field(default_factory=_new_distinct)

    @property
    def count(self) -> int:
        """Return how many values that were not missing went in."""
        return int(self.sketch.total_weight) + self.untracked

    @property
    def distinct(self) -> int:
        """Return how many different values went in, estimated where their names are not all known."""
        return len(self.counts()) if self.is_exact else round(float(self.distinct_sketch.get_estimate()))

    @property
    def is_exact(self) -> bool:
        """Say whether each value's name and count are known."""
        if self.untracked or self.sketch.is_empty():
            return not self.untracked
        rows = self._items()
        return bool(rows) and rows[0][3] == rows[0][2]  # upper and lower bound of a count

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
        for text, count in counts.items():
            key = category_key(text)
            self.sketch.update(key, count)
            self.distinct_sketch.update(key)
            if self.buckets is not None:
                self.buckets[bucket_of(key)] += count

    def merge(self, other: CategoryProfile) -> None:
        """Add all that the other has seen."""
        self.missing += other.missing
        self.untracked += other.untracked
        self.sketch.merge(other.sketch)
        union = datasketches.hll_union(HLL_LG_K)
        union.update(self.distinct_sketch)
        union.update(other.distinct_sketch)
        self.distinct_sketch = union.get_result(HLL_TYPE)
        if self.buckets is None or other.buckets is None:
            self.buckets = None
        else:
            self.buckets = self.buckets + other.buckets

    def counts(self) -> dict[str, int]:
        """Return counts by category as far as their names are known, most frequent first."""
        return {str(row[0]): int(row[2]) for row in self._items()}

    def _items(self) -> list[tuple[str, int, int, int]]:
        if self.sketch.is_empty():
            return []
        kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        rows: list[tuple[str, int, int, int]] = self.sketch.get_frequent_items(kind)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready form, of a baseline."""
        return {
            "type": "category",
            "missing": self.missing,
            "sketch": _encode(self.sketch.serialize()),
            "buckets": None if self.buckets is None else self.buckets.tolist(),
            "distinct": _encode(self.distinct_sketch.serialize_compact()),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild from `to_dict`; what an older one lacks is taken from its names, if it knows them all."""
        raw = base64.b64decode(data["sketch"])
        sketch = datasketches.frequent_strings_sketch.deserialize(raw)
        profile = cls(missing=int(data["missing"]), sketch=sketch)
        if data.get("distinct") is None:
            profile._count_names()
            return profile
        profile.distinct_sketch = datasketches.hll_sketch.deserialize(base64.b64decode(data["distinct"]))
        profile.buckets = None if data["buckets"] is None else np.array(data["buckets"], dtype=np.int64)
        return profile

    def _count_names(self) -> None:
        """Fill buckets and the distinct count from the names."""
        names = self.counts()
        copy = CategoryProfile()
        copy.add_counts(names)
        self.distinct_sketch, self.buckets = copy.distinct_sketch, copy.buckets if self.is_exact else None
        if self.is_exact:
            self.sketch = copy.sketch  # long names under their keys


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
