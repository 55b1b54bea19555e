"""Many counts of which most are zero: sorted cell numbers with their counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def _none() -> Array:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Cells:
    """Counts by cell, both of shape (cells,), int64; numbers rise, counts are not 0."""

    numbers: Array = field(default_factory=_none)
    counts: Array = field(default_factory=_none)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cells):
            return NotImplemented
        return np.array_equal(self.numbers, other.numbers) and np.array_equal(self.counts, other.counts)

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    @classmethod
    def of(cls, counts: Mapping[int, int]) -> Cells:
        """Return the counts of a mapping."""
        numbers = np.fromiter(counts.keys(), np.int64, len(counts))
        return cls.summed(numbers, np.fromiter(counts.values(), np.int64, len(counts)))

    @classmethod
    def summed(cls, numbers: Array, counts: Array) -> Cells:
        """Return counts added up by cell."""
        if not len(numbers):
            return cls()
        found, places = np.unique(numbers, return_inverse=True)
        total = np.zeros(len(found), np.int64)
        np.add.at(total, places.reshape(-1), counts)
        kept = total != 0
        return cls(found[kept], total[kept])

    @classmethod
    def total(cls, parts: Sequence[Cells]) -> Cells:
        """Return the sum of several."""
        if not parts:
            return cls()
        return cls.summed(np.concatenate([p.numbers for p in parts]), np.concatenate([p.counts for p in parts]))

    def pack(self) -> tuple[bytes, str, bytes, str]:
        """Return distances and counts in the least type that holds them."""
        steps = np.diff(self.numbers, prepend=0)
        return (*_pack(steps), *_pack(self.counts))

    @classmethod
    def unpack(cls, steps: bytes, steps_type: str, counts: bytes, counts_type: str) -> Cells:
        """Rebuild from `pack`."""
        return cls(
            np.cumsum(np.frombuffer(steps, steps_type).astype(np.int64)),
            np.frombuffer(counts, counts_type).astype(np.int64),
        )


def _pack(values: Array) -> tuple[bytes, str]:
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for name in ("<u1", "<u2", "<i4"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return values.astype(name).tobytes(), name
    return values.astype("<i8").tobytes(), "<i8"
