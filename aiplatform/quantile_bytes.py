"""KLL sketches in few bytes, and the values that they have kept as arrays.

A window keeps a number in `WINDOW_K` = 100: 2.6% normalized rank error (single-sided, at 99%
confidence), exact up to some 100 values. Its numbers are rounded to 16 significant bits (1.5e-5 of
the value), and their codes are sorted integers that compress well: some 800 bytes, at most
`MAX_SKETCH_BYTES`. Source of the layout read and written here: Apache DataSketches, KLL serial
version 1 and 2, the same in all its languages.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any, Self

import datasketches
import numpy as np

WINDOW_K = 100
MAX_SKETCH_BYTES = 880
FLOAT_DIGITS = 24  # significant bits of a float32
DROPPED_BITS = 8  # of these
GREATEST = 3.38e38  # of the rounded numbers

_PREAMBLE = struct.Struct("<BBBBHBB")  # ints, serial version, family, flags, k, m, unused
_SIZES = struct.Struct("<QHBB")  # n, least k, levels, unused
_FAMILY, _M, _IS_SINGLE = 15, 8, 4
_ENDS = struct.Struct("<ff")  # least and greatest
_HEAD = struct.Struct("<BHHQ")  # levels, k, least k, n
_PLANES = 3  # bytes of a code
_CODES = np.uint32((1 << 8 * _PLANES) - 1)
_SIGN = np.uint32(0x80000000)
_DROPPED = np.uint32(DROPPED_BITS)
_KEPT = ~np.uint32((1 << DROPPED_BITS) - 1)

Array = np.ndarray[Any, Any]
KllSketch = Any  # kll_floats_sketch or kll_doubles_sketch


def round_numbers(values: Array, *, digits: int = FLOAT_DIGITS - DROPPED_BITS) -> Array:
    """Return float32 of so many significant bits, order kept; beyond float32's range the greatest there is.

    `pack_sketch` keeps 16 of them; numbers of fewer take fewer bytes there.
    """
    dropped = FLOAT_DIGITS - digits
    numbers = np.clip(values, -GREATEST, GREATEST).astype("<f4")
    bits = numbers.view("<u4") + np.uint32(1 << (dropped - 1))
    rounded = (bits & ~np.uint32((1 << dropped) - 1)).view("<f4")
    result: Array = rounded + np.float32(0)  # no negative zero
    return result


@dataclass(frozen=True)
class KllParts:
    """What a KLL sketch of n > 0 values consists of: an item of level i stands for 2^i values."""

    k: int
    least_k: int
    n: int
    starts: Array  # (levels + 1,): where each level begins, counted from `starts[0]`, and the end
    items: Array  # level by level
    low: float
    high: float

    @property
    def weights(self) -> Array:
        """Return for each item how many values it stands for."""
        lengths = np.diff(self.starts)
        weights: Array = np.repeat(2.0 ** np.arange(len(lengths)), lengths)
        return weights

    @classmethod
    def read(cls, raw: bytes, dtype: str) -> Self:
        """Read what `serialize()` of a sketch of floats ('<f4') or doubles ('<f8') gave; it is not empty."""
        flags, k = raw[3], int.from_bytes(raw[4:6], "little")
        if flags & _IS_SINGLE:
            items = np.frombuffer(raw, dtype, 1, 8)
            return cls(k, k, 1, np.array([0, 1]), items, float(items[0]), float(items[0]))
        n, least_k, levels, _ = _SIZES.unpack_from(raw, 8)
        starts = np.frombuffer(raw, "<u4", levels, 20).astype(np.int64)
        values = np.frombuffer(raw, dtype, offset=20 + 4 * levels)
        ends = np.append(starts, starts[0] + len(values) - 2)
        return cls(k, least_k, n, ends, values[2:], float(values[0]), float(values[1]))

    def to_sketch(self) -> datasketches.kll_floats_sketch:
        """Return the sketch of these parts, of floats."""
        items = self.items.astype("<f4").tobytes()
        if self.n == 1:
            raw = _PREAMBLE.pack(2, 2, _FAMILY, _IS_SINGLE, self.k, _M, 0) + items
        else:
            levels = len(self.starts) - 1
            head = _PREAMBLE.pack(5, 1, _FAMILY, 0, self.k, _M, 0) + _SIZES.pack(self.n, self.least_k, levels, 0)
            raw = head + self.starts[:-1].astype("<u4").tobytes() + _ENDS.pack(self.low, self.high) + items
        return datasketches.kll_floats_sketch.deserialize(raw)


def read_parts(sketch: KllSketch) -> KllParts:
    """Return the parts of a sketch that is not empty."""
    is_doubles = isinstance(sketch, datasketches.kll_doubles_sketch)
    return KllParts.read(sketch.serialize(), "<f8" if is_doubles else "<f4")


def kept_values(sketch: KllSketch) -> tuple[Array, Array]:
    """Return the values that a sketch has kept, rounded and in order, and their weights, shape (kept,) each."""
    if sketch.is_empty():
        return np.zeros(0), np.zeros(0)
    parts = read_parts(sketch)
    values = round_numbers(parts.items).astype(np.float64)
    order = np.argsort(values, kind="stable")
    return values[order], parts.weights[order]


def to_window_sketch(sketch: KllSketch) -> datasketches.kll_floats_sketch:
    """Return the same distribution in a sketch of rounded floats."""
    if sketch.is_empty():
        return datasketches.kll_floats_sketch(WINDOW_K)
    parts = read_parts(sketch)
    ends = round_numbers(np.array([parts.low, parts.high])).tolist()
    return replace(parts, items=round_numbers(parts.items), low=ends[0], high=ends[1]).to_sketch()


def pack_sketch(sketch: datasketches.kll_floats_sketch, *, limit: int = MAX_SKETCH_BYTES) -> bytes:
    """Return a sketch of rounded floats in at most `limit` bytes; one too large is made coarser."""
    if sketch.is_empty():
        return b""
    packed, k = _pack(read_parts(sketch)), int(sketch.k)
    while len(packed) > limit:  # numbers of every size from least to greatest, or a sketch of larger k
        k = WINDOW_K if k > WINDOW_K else k * 4 // 5
        smaller = datasketches.kll_floats_sketch(k)
        smaller.merge(sketch)
        packed = _pack(read_parts(smaller))
    return packed


def unpack_sketch(raw: bytes) -> datasketches.kll_floats_sketch:
    """Return the sketch that `pack_sketch` was given."""
    if not raw:
        return datasketches.kll_floats_sketch(WINDOW_K)
    levels, k, least_k, n = _HEAD.unpack_from(raw)
    starts = np.frombuffer(raw, "<u2", levels + 1, _HEAD.size).astype(np.int64)
    planes = np.frombuffer(zlib.decompress(raw[_HEAD.size + 2 * (levels + 1) :]), np.uint8)
    steps = np.zeros((len(planes) // _PLANES, 4), dtype=np.uint8)
    steps[:, :_PLANES] = planes.reshape(_PLANES, -1).T
    codes = np.cumsum(steps.view("<u4")[:, 0], dtype=np.uint32) & _CODES  # each level's first step leads back
    numbers = _decode(codes)
    return KllParts(k, least_k, n, starts, numbers[:-2], float(numbers[-2]), float(numbers[-1])).to_sketch()


def _pack(parts: KllParts) -> bytes:
    levels = np.split(_encode(parts.items), (parts.starts[1:-1] - parts.starts[0]).tolist())
    ends = _encode(np.array([parts.low, parts.high], dtype="<f4"))
    codes = np.concatenate([*(np.sort(level) for level in levels), ends])
    steps = (np.diff(codes, prepend=np.uint32(0)) & _CODES).astype("<u4")
    planes = steps.view(np.uint8).reshape(-1, 4).T[:_PLANES]
    head = _HEAD.pack(len(levels), parts.k, parts.least_k, parts.n) + parts.starts.astype("<u2").tobytes()
    return head + zlib.compress(planes.tobytes(), 6)


def _encode(numbers: Array) -> Array:
    """Return rounded floats as whole numbers of 24 bits in the same order."""
    bits = numbers.astype("<f4").view("<u4")
    return np.where(bits & _SIGN, ~bits, bits | _SIGN).astype(np.uint32) >> np.uint32(DROPPED_BITS)


def _decode(codes: Array) -> Array:
    bits = codes.astype("<u4") << _DROPPED
    # Above 0 only the sign's bit changes, below all that are kept do.
    numbers: Array = (bits ^ np.where(bits & _SIGN, _SIGN, _KEPT)).view("<f4")
    return numbers
