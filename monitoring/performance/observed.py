"""What ingestion sees of all rows, labelled or not, beyond their profile; mergeable, and of bounded size.

`sure` counts rows by bin of their log-odds: of the second of two classes (bins from 0), else of the
predicted label's confidence (bins from SURE_BASE). `distinct` is a HyperLogLog sketch of the rows'
features (Flajolet et al., 2007); 2^11 registers tell a number of rows within 2.3%.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import datasketches
import msgspec
import numpy as np

from aiplatform.scores import LIMIT, decode_odds, log_odds
from monitoring.performance.cells import Array, Cells
from monitoring.performance.counts import SCORE_BINS
from monitoring.performance.detectors.stream import WindowValue

SURE_BASE = SCORE_BINS
LG_REGISTERS = 11
LARGEST = 1e150  # whose square is still a number
_KIND = datasketches.tgt_hll_type.HLL_4


def _new_sketch() -> datasketches.hll_sketch:
    return datasketches.hll_sketch(LG_REGISTERS, _KIND)


@dataclass(kw_only=True)
class Observed:
    """Counts of one window, or of several merged. `refused` is by code; `strange` by feature, among `checked` rows."""

    sure: Cells = field(default_factory=Cells)
    hashed: int = 0
    distinct: datasketches.hll_sketch = field(default_factory=_new_sketch)
    refused: Counter[str] = field(default_factory=Counter)
    checked: int = 0
    strange: Counter[str] = field(default_factory=Counter)
    means: dict[str, WindowValue] = field(default_factory=dict)  # of the numeric features


def merge_observed(parts: Sequence[Observed]) -> Observed:
    """Return several windows as one."""
    union = datasketches.hll_union(LG_REGISTERS)
    refused: Counter[str] = Counter()
    strange: Counter[str] = Counter()
    means: dict[str, WindowValue] = {}
    for part in parts:
        for name, value in part.means.items():
            means[name] = means[name].plus(value) if name in means else value
        union.update(part.distinct)
        refused.update(part.refused)
        strange.update(part.strange)
    return Observed(
        sure=Cells.total([part.sure for part in parts]),
        hashed=sum(part.hashed for part in parts),
        distinct=union.get_result(_KIND),
        refused=refused,
        checked=sum(part.checked for part in parts),
        strange=strange,
        means=means,
    )


def sum_numbers(numbers: Mapping[str, Array], chosen: Array) -> dict[str, WindowValue]:
    """Return count, sum and sum of squares of each feature's finite values in the chosen rows."""
    found = {}
    for name, column in numbers.items():
        values = column[chosen]
        values = values[np.abs(values) < LARGEST]  # NaN is not, either
        if values.size:
            found[name] = WindowValue(int(values.size), float(values.sum()), float((values * values).sum()))
    return found


def bin_scores(codes: Array) -> Cells:
    """Return counts of the second class's scores, codes of shape (n,)."""
    return _bin(decode_odds(codes), 0)


def bin_confidences(confidences: Array) -> Cells:
    """Return counts of the predicted labels' confidences, shape (n,); what is no probability is left out."""
    inside = confidences[(confidences >= 0) & (confidences <= 1)]
    return _bin(log_odds(inside), SURE_BASE)


def bin_centres(numbers: Array) -> Array:
    """Return the log-odds in the middle of bins numbered from 0."""
    return (numbers + 0.5) * (2 * LIMIT / SCORE_BINS) - LIMIT


def _bin(odds: Array, base: int) -> Cells:
    known = odds[np.isfinite(odds)]
    places = np.minimum(SCORE_BINS - 1, ((known + LIMIT) * (SCORE_BINS / (2 * LIMIT))).astype(np.int64))
    counts = np.bincount(places, minlength=SCORE_BINS)
    found = np.flatnonzero(counts)
    return Cells(found + base, counts[found].astype(np.int64))


def hash_rows(
    numbers: Mapping[str, Array], categories: Mapping[str, tuple[Array, Sequence[str]]], chosen: Array
) -> Array:
    """Return a 64-bit hash of all features of the chosen rows (mask, shape (rows,)); equal rows have equal hashes."""
    found = np.zeros(int(chosen.sum()), np.uint64)
    for name in sorted(numbers):
        values = numbers[name][chosen] + 0.0  # -0.0 is 0.0
        bits = np.where(np.isnan(values), np.nan, values).view(np.uint64)
        found = _mix(found ^ (bits + np.uint64(_hash_text(name))))
    for name in sorted(categories):
        codes, texts = categories[name]
        table = np.array([*(_hash_text(f"{name}\0{text}") for text in texts), _hash_text(name)], np.uint64)
        found = _mix(found ^ table[codes[chosen]])
    return found


def _mix(values: Array) -> Array:
    """Scatter 64-bit integers. Source: Steele, Lea and Flood, SplittableRandom (2014), mix64."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = values ^ (values >> np.uint64(31))
    return mixed


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    sure: tuple[bytes, str, bytes, str]
    hashed: int
    distinct: bytes
    refused: dict[str, int]
    checked: int
    strange: dict[str, int]
    means: dict[str, tuple[int, float, float]]


class _StoredSure(msgspec.Struct, array_like=True, frozen=True):
    """The first field of `_Stored` alone."""

    sure: tuple[bytes, str, bytes, str]


def pack_observed(observed: Observed) -> bytes:
    """Return what a row of the database holds."""
    stored = _Stored(
        sure=observed.sure.pack(),
        hashed=observed.hashed,
        distinct=observed.distinct.serialize_compact(),
        refused=dict(observed.refused),
        checked=observed.checked,
        strange=dict(observed.strange),
        means={name: (value.rows, value.total, value.squares) for name, value in observed.means.items()},
    )
    return zlib.compress(msgspec.msgpack.encode(stored), 1)


def unpack_sure(raw: bytes | memoryview) -> Cells:
    """Return only how sure the model was; a chart reads many rows and needs nothing else of them."""
    if not raw:
        return Cells()
    return Cells.unpack(*msgspec.msgpack.decode(zlib.decompress(bytes(raw)), type=_StoredSure).sure)


def unpack_observed(raw: bytes | memoryview) -> Observed:
    """Rebuild from `pack_observed`; no bytes are nothing seen."""
    if not raw:
        return Observed()
    stored = msgspec.msgpack.decode(zlib.decompress(bytes(raw)), type=_Stored)
    return Observed(
        sure=Cells.unpack(*stored.sure),
        hashed=stored.hashed,
        distinct=datasketches.hll_sketch.deserialize(stored.distinct),
        refused=Counter(stored.refused),
        checked=stored.checked,
        strange=Counter(stored.strange),
        means={name: WindowValue(*value) for name, value in stored.means.items()},
    )
