"""Latencies in a sketch: added to, merged, and packed into less than 1 KiB of a window.

A KLL sketch of floats with k = 200: 1.3% normalized rank error (single-sided, at 99% confidence), half of a
feature's, since it is the tail that is looked at. Milliseconds are rounded to `DIGITS` = 10 significant bits (by at
most 0.1% of the value), so that twice the values of a feature's sketch fit into hardly more bytes.

A row's bytes begin with a format. Older rows hold what a sketch of doubles serializes to, whose first byte is 2 or 5.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import datasketches
import numpy as np

from aiplatform.number_profiles import KLL_K, UNION_K
from aiplatform.quantile_bytes import pack_sketch, read_parts, round_numbers, unpack_sketch

DIGITS = 10  # significant bits
MAX_BYTES = 1000  # latencies of every size from a microsecond to an hour take 950
_FORMAT = b"\x01"

Array = np.ndarray[Any, Any]
LatencySketch = Any  # kll_floats_sketch of milliseconds


def new_latency() -> LatencySketch:
    """Return an empty sketch, as a window has it."""
    return datasketches.kll_floats_sketch(KLL_K)


def add_latencies(sketch: LatencySketch, latencies_ms: Array) -> None:
    """Add milliseconds, shape (n,); what is not finite is left out."""
    known = latencies_ms[np.isfinite(latencies_ms)]
    if known.size:
        sketch.update(round_numbers(known, digits=DIGITS))


def pack_latency(sketch: LatencySketch) -> bytes:
    """Return what `read_latency` reads; nothing for an empty sketch."""
    return b"" if sketch.is_empty() else _FORMAT + pack_sketch(sketch, limit=MAX_BYTES - 1)


def read_latency(raw: bytes | memoryview) -> LatencySketch:
    """Return the latency sketch of a row; an empty one for a new row."""
    packed = bytes(raw)
    if not packed:
        return new_latency()
    if packed[:1] == _FORMAT:
        return unpack_sketch(packed[1:])
    return _of_doubles(datasketches.kll_doubles_sketch.deserialize(packed))


def union_latencies(rows: Iterable[bytes | memoryview]) -> LatencySketch:
    """Return one sketch of many rows', to be read: merging adds hardly any error to theirs."""
    merged = datasketches.kll_floats_sketch(UNION_K)
    for raw in rows:
        merged.merge(read_latency(raw))
    return merged


def _of_doubles(sketch: datasketches.kll_doubles_sketch) -> LatencySketch:
    if sketch.is_empty():
        return new_latency()
    parts = read_parts(sketch)
    low, high = round_numbers(np.array([parts.low, parts.high]), digits=DIGITS).tolist()
    return replace(parts, items=round_numbers(parts.items, digits=DIGITS), low=low, high=high).to_sketch()
