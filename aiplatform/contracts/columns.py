"""Columns as messages carry them: packed, so that neither encoding nor decoding goes row by row.

Numbers are little-endian bytes; texts are codes into a short list of the texts that occur. In
msgpack bytes travel as they are, in JSON as base64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.errors import InvalidInputError

ID_BYTES = 16
NUMBER_TYPES = {name: np.dtype(f"<{name}") for name in ("f8", "f4", "u1", "u2", "u4")}
CODE_TYPE = np.dtype("<i4")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Numbers:
    """One number a row, of the type that `dtype` names; NaN is a missing one."""

    raw: bytes
    dtype: str = "f8"

    @classmethod
    def pack(cls, values: Array | Sequence[float], dtype: str = "f8") -> Numbers:
        """Return a column of numbers, shape (rows,)."""
        return cls(np.ascontiguousarray(values, dtype=NUMBER_TYPES[dtype]).tobytes(), dtype)

    def unpack(self, rows: int, name: str) -> Array:
        """Return the numbers, shape (rows,), read-only.

        Raises: InvalidInputError if there are not as many, or their type is unknown.
        """
        dtype = NUMBER_TYPES.get(self.dtype)
        if dtype is None:
            raise InvalidInputError(f"column '{name}' has the type '{self.dtype}'; known: {', '.join(NUMBER_TYPES)}")
        _check_size(self.raw, rows, dtype.itemsize, name)
        return np.frombuffer(self.raw, dtype=dtype)


@dataclass(frozen=True)
class Texts:
    """One text or none a row: `codes` (int32) are places in `texts`, -1 is none."""

    codes: bytes
    texts: tuple[str, ...]

    @classmethod
    def pack(cls, values: Iterable[str | None]) -> Texts:
        """Return a column of texts."""
        places: dict[str, int] = {}
        codes = [-1 if value is None else places.setdefault(value, len(places)) for value in values]
        return cls(np.array(codes, dtype=CODE_TYPE).tobytes(), tuple(places))

    @classmethod
    def pack_codes(cls, codes: Array, texts: Sequence[str]) -> Texts:
        """Return a column of codes, shape (rows,), with those texts that occur."""
        used, compact = np.unique(codes, return_inverse=True)
        has_none = bool(used.size) and int(used[0]) < 0
        found = used[1:] if has_none else used
        packed = (compact.reshape(-1) - int(has_none)).astype(CODE_TYPE).tobytes()
        return cls(packed, tuple(texts[code] for code in found.tolist()))

    def unpack(self, rows: int, name: str) -> Array:
        """Return the codes, shape (rows,), read-only.

        Raises: InvalidInputError if there are not as many, or one points at no text.
        """
        _check_size(self.codes, rows, CODE_TYPE.itemsize, name)
        codes = np.frombuffer(self.codes, dtype=CODE_TYPE)
        if codes.size and (int(codes.min()) < -1 or int(codes.max()) >= len(self.texts)):
            raise InvalidInputError(
                f"column '{name}' has a code outside -1 to {len(self.texts) - 1}, the places of its texts"
            )
        return codes

    def to_list(self) -> list[str | None]:
        """Return the texts row by row."""
        codes = np.frombuffer(self.codes, dtype=CODE_TYPE).tolist()
        return [None if code < 0 else self.texts[code] for code in codes]


@dataclass(frozen=True)
class PredictionIds:
    """One id a row: `raw` has 16 bytes for each of 32 hex digits; any other ids are in `names` as they are."""

    raw: bytes = b""
    names: tuple[str, ...] = ()

    @classmethod
    def pack(cls, ids: Sequence[str], sizes: Array | None = None) -> PredictionIds:
        """Return a column of ids, each repeated `sizes[i]` times (once if there are no sizes)."""
        raw = _from_hex(ids)
        if raw is None:
            counts = [1] * len(ids) if sizes is None else sizes.tolist()
            return cls(names=tuple(name for name, count in zip(ids, counts, strict=True) for _ in range(count)))
        if sizes is None:
            return cls(raw=raw)
        return cls(raw=np.repeat(np.frombuffer(raw, dtype=f"V{ID_BYTES}"), sizes).tobytes())

    @classmethod
    def join(cls, columns: Sequence[PredictionIds]) -> PredictionIds:
        """Return the columns one after the other."""
        if any(column.names for column in columns):
            return cls(names=tuple(name for column in columns for name in column.to_list()))
        return cls(raw=b"".join(column.raw for column in columns))

    def __len__(self) -> int:
        return len(self.names) or len(self.raw) // ID_BYTES

    def to_list(self) -> list[str]:
        """Return the ids row by row."""
        if self.names:
            return list(self.names)
        digits = self.raw.hex()
        return [digits[i : i + 2 * ID_BYTES] for i in range(0, len(digits), 2 * ID_BYTES)]


def _from_hex(ids: Sequence[str]) -> bytes | None:
    """Return 16 bytes for each id, or None unless all are 32 lower-case hex digits."""
    digits = "".join(ids)
    if any(len(name) != 2 * ID_BYTES for name in ids):
        return None
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return None
    return raw if raw.hex() == digits else None  # fromhex also takes spaces and capitals


def _check_size(raw: bytes, rows: int, item_bytes: int, name: str) -> None:
    if len(raw) != rows * item_bytes:
        raise InvalidInputError(f"column '{name}' has {len(raw) / item_bytes:g} rows, the batch {rows}")
