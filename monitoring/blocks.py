"""The packed index of predictions: what one batch holds of one minute, sorted by id, in columns.

A prediction id is 32 hex digits that sort by time; its key is these 16 bytes. Any other text is
kept beside the keys, and its key is a digest of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from aiplatform.contracts.columns import ID_BYTES, Numbers, PredictionIds, Texts
from aiplatform.scores import CODE

KEY_TYPE = np.dtype(f"S{ID_BYTES}")  # compares as bytes do
SPAN_MS = 61_000  # of the times in a block's ids: a minute, and a little for rounding
_HEX_ID = re.compile(r"[0-9a-f]{32}")

Array = np.ndarray[Any, Any]


def key_of(prediction_id: str) -> bytes:
    """Return the 16 bytes under which an id is kept."""
    if _HEX_ID.fullmatch(prediction_id):
        return bytes.fromhex(prediction_id)
    return hashlib.blake2b(prediction_id.encode(), digest_size=ID_BYTES).digest()


def earliest_first_key(key: bytes) -> bytes:
    """Return the least key with which a block that holds `key` can begin, unless it is wide."""
    milliseconds = max(0, int.from_bytes(key[:6], "big") - SPAN_MS)
    return milliseconds.to_bytes(6, "big") + bytes(ID_BYTES - 6)


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """One row of one answer."""

    prediction_id: str
    row: int
    time: datetime
    label: str | None
    confidence: float | None
    value: float | None
    score_codes: tuple[int, ...] = ()  # codes of `aiplatform.scores`, of `classes`
    classes: Sequence[str] = ()
    segments: bytes = b""  # monitoring.performance.segments


@dataclass(frozen=True, kw_only=True)
class BlockContent:
    """Rows sorted by key, as arrays of shape (rows,); NaN and code -1 are none.

    `names` are the ids, given only where some are not their own key. Times are microseconds after `minute`.
    """

    minute: int
    keys: Array
    rows: Array
    times_us: Array
    names: Sequence[str] = ()
    label_codes: Array | None = None
    labels: Sequence[str] = ()
    confidences: Array | None = None
    values: Array | None = None
    scores: Array | None = None  # (rows, columns), uint16
    classes: Sequence[str] = ()
    segments: Array | None = None  # (rows, features), uint8

    @property
    def first_id(self) -> str:
        """Return the least key in hex."""
        return self._hex(0)

    @property
    def last_id(self) -> str:
        """Return the greatest key in hex."""
        return self._hex(-1)

    @property
    def is_wide(self) -> bool:
        """Say whether the keys are further apart than ids of one minute."""
        return bytes.fromhex(self.first_id) < earliest_first_key(bytes.fromhex(self.last_id))

    @property
    def latest(self) -> datetime:
        """Return the time of the latest row."""
        return self._time(int(self.times_us.max()))

    def holds(self, prediction_id: str) -> bool:
        """Say whether a prediction is in here."""
        return bool(self.find(key_of(prediction_id)))

    def find(self, key: bytes) -> range:
        """Return the places of the rows with a key."""
        wanted = np.frombuffer(key, dtype=KEY_TYPE)
        first = int(np.searchsorted(self.keys, wanted, side="left")[0])
        return range(first, int(np.searchsorted(self.keys, wanted, side="right")[0]))

    def prediction_ids(self) -> list[str]:
        """Return the id of each row."""
        if self.names:
            return list(self.names)
        digits = self._hex_of_all()
        return [digits[i : i + 2 * ID_BYTES] for i in range(0, len(digits), 2 * ID_BYTES)]

    def without(self, gone: Container[str]) -> BlockContent | None:
        """Return the block without some predictions; None if nothing is left."""
        names = self.prediction_ids()
        kept = np.array([name not in gone for name in names], dtype=bool)
        if kept.all():
            return self
        if not kept.any():
            return None
        return replace(
            self,
            keys=self.keys[kept],
            rows=self.rows[kept],
            times_us=self.times_us[kept],
            names=tuple(name for name, is_kept in zip(names, kept, strict=True) if is_kept) if self.names else (),
            label_codes=None if self.label_codes is None else self.label_codes[kept],
            confidences=None if self.confidences is None else self.confidences[kept],
            values=None if self.values is None else self.values[kept],
            scores=None if self.scores is None else self.scores[kept],
            segments=None if self.segments is None else self.segments[kept],
        )

    def row_at(self, place: int) -> BlockRow:
        """Return one row."""
        code = -1 if self.label_codes is None else int(self.label_codes[place])
        return BlockRow(
            prediction_id=self.names[place] if self.names else self._hex(place),
            row=int(self.rows[place]),
            time=self._time(int(self.times_us[place])),
            label=None if code < 0 else self.labels[code],
            confidence=_number(self.confidences, place),
            value=_number(self.values, place),
            score_codes=() if self.scores is None else tuple(self.scores[place].tolist()),
            classes=self.classes,
            segments=b"" if self.segments is None else self.segments[place].tobytes(),
        )

    def newest_first(self, label: str = "") -> Array:
        """Return the places of all rows, or of those with a label, the newest first."""
        order: Array = np.lexsort((-self.rows.astype(np.int64), self.times_us))[::-1]
        if not label or self.label_codes is None:
            return order[:0] if label else order
        code = self.labels.index(label) if label in self.labels else -2
        found: Array = order[self.label_codes[order] == code]
        return found

    def _hex_of_all(self) -> str:
        return self.keys.tobytes().hex()

    def _hex(self, place: int) -> str:
        return self.keys[place : place + 1 or None].tobytes().hex()

    def _time(self, microseconds: int) -> datetime:
        return datetime.fromtimestamp(self.minute * 60, tz=UTC) + timedelta(microseconds=microseconds)


@dataclass(frozen=True)
class _Packed:
    minute: int
    size: int
    keys: bytes
    rows: Numbers | None
    times_us: Numbers
    names: tuple[str, ...]
    labels: Texts | None
    confidences: Numbers | None
    values: Numbers | None
    scores: bytes = b""  # columns of all rows, one after the other
    classes: tuple[str, ...] = ()
    segments: bytes = b""


def sort_rows(ids: PredictionIds, places: Array) -> tuple[Array, Array]:
    """Return the keys of some rows in order, and the order: which of `places`, shape (k,), comes when; stable."""
    raw = b"".join(key_of(name) for name in ids.names) if ids.names else ids.raw
    keys = np.frombuffer(raw, dtype=KEY_TYPE)[places]
    order = np.argsort(keys, kind="stable")
    return keys[order], order


def pack_block(block: BlockContent) -> bytes:
    """Return a block as its row in the database holds it, each column in the least type that holds it."""
    codes = block.label_codes
    return msgspec.msgpack.encode(
        _Packed(
            minute=block.minute,
            size=len(block.keys),
            keys=block.keys.tobytes(),
            rows=_least_integers(block.rows) if block.rows.any() else None,
            times_us=Numbers.pack(block.times_us, "u4"),
            names=tuple(block.names),
            labels=None if codes is None else Texts.pack_codes(codes, block.labels),
            confidences=_least_floats(block.confidences),
            values=_least_floats(block.values),
            scores=b"" if block.scores is None else block.scores.tobytes(),
            classes=tuple(block.classes),
            segments=b"" if block.segments is None else block.segments.tobytes(),
        )
    )


def unpack_block(raw: bytes | memoryview) -> BlockContent:
    """Return what `pack_block` has packed."""
    packed = msgspec.msgpack.decode(raw, type=_Packed)
    size = packed.size
    return BlockContent(
        minute=packed.minute,
        keys=np.frombuffer(packed.keys, dtype=KEY_TYPE),
        rows=packed.rows.unpack(size, "rows") if packed.rows else np.zeros(size, np.uint8),
        times_us=packed.times_us.unpack(size, "times_us"),
        names=packed.names,
        label_codes=packed.labels.unpack(size, "labels") if packed.labels else None,
        labels=packed.labels.texts if packed.labels else (),
        confidences=packed.confidences.unpack(size, "confidences") if packed.confidences else None,
        values=packed.values.unpack(size, "values") if packed.values else None,
        scores=_table(packed.scores, CODE, size),
        classes=packed.classes,
        segments=_table(packed.segments, np.dtype(np.uint8), size),
    )


def _table(raw: bytes, dtype: np.dtype[Any], rows: int) -> Array | None:
    return np.frombuffer(raw, dtype=dtype).reshape(rows, -1) if raw else None


def _least_integers(values: Array) -> Numbers:
    greatest = int(values.max())
    return Numbers.pack(values, "u1" if greatest < 2**8 else "u2" if greatest < 2**16 else "u4")


def _least_floats(values: Array | None) -> Numbers | None:
    if values is None:
        return None
    with np.errstate(over="ignore"):
        is_exact = np.array_equal(values.astype(np.float32).astype(np.float64), values, equal_nan=True)
    return Numbers.pack(values, "f4" if is_exact else "f8")


def _number(column: Array | None, place: int) -> float | None:
    if column is None or np.isnan(column[place]):
        return None
    return float(column[place])
