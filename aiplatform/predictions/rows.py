"""Whole predictions in columns, as the serving side spools them: packed, and free of any framework."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.errors import InvalidInputError
from aiplatform.tensors import DType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TensorColumn:
    """One tensor of all rows: `shape` is that of one row, `dtype` a V2 name.

    Numbers lie in `raw`, row by row, little-endian; BYTES are `items`, `is_text` says that they were `str`.
    """

    dtype: str
    shape: tuple[int, ...]
    raw: bytes = b""
    items: tuple[bytes, ...] = ()
    is_text: bool = False

    @classmethod
    def pack(cls, values: Array) -> TensorColumn:
        """Return an array of shape (rows, ...) as a column.

        Raises: InvalidInputError if no wire type stands for its type.
        """
        dtype, shape = DType.of(values.dtype), tuple(values.shape[1:])
        if dtype is not DType.BYTES:
            return cls(dtype=str(dtype), shape=shape, raw=np.ascontiguousarray(values).tobytes())
        given = values.reshape(-1).tolist()
        items = tuple(item if isinstance(item, bytes) else _text(item).encode() for item in given)
        return cls(str(dtype), shape, items=items, is_text=not any(isinstance(item, bytes) for item in given))

    def unpack(self, rows: int, name: str) -> Array:
        """Return the array, shape (rows, *shape), read-only unless it is of BYTES.

        Raises: InvalidInputError if it does not have as many elements.
        """
        dtype, count = DType(self.dtype), rows * int(np.prod(self.shape, dtype=np.int64))
        if dtype is DType.BYTES:
            given = [item.decode() for item in self.items] if self.is_text else list(self.items)
            flat: Array = np.empty(len(given), dtype=object)
            flat[:] = given
        else:
            flat = np.frombuffer(self.raw, dtype=dtype.numpy)
        if len(flat) != count:
            raise InvalidInputError(f"tensor '{name}' has {len(flat)} elements; {rows} rows need {count}")
        return flat.reshape(rows, *self.shape)


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Rows of one artifact whose tensors have one shape; what a policy drops is not in here.

    A row is one row of one request, as in `PredictionBatch`. `inputs` and `outputs` are empty for
    failed requests. `hashes` holds a pseudonym a row for each hashed feature, and for all inputs
    together under '' where these are kept as a reference only. `is_whole`: `inputs` is what was asked.
    """

    endpoint: str
    model: str
    version: int
    artifact_digest: str
    row_count: int
    prediction_ids: PredictionIds
    rows: Numbers
    times_s: Numbers
    latencies_ms: Numbers
    http_statuses: Numbers
    trace_ids: Texts | None = None
    subjects: Texts | None = None  # pseudonyms
    predicted_labels: Texts | None = None
    confidences: Numbers | None = None
    predicted_values: Numbers | None = None
    inputs: Mapping[str, TensorColumn] = field(default_factory=dict)
    outputs: Mapping[str, TensorColumn] = field(default_factory=dict)
    embedding: TensorColumn | None = None  # only where the policy keeps all inputs
    hashes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    class_labels: tuple[str, ...] = ()
    is_whole: bool = True

    @property
    def size_bytes(self) -> int:
        """Return about what the rows take."""
        tensors = [*self.inputs.values(), *self.outputs.values()]
        tensors += [] if self.embedding is None else [self.embedding]
        return self.row_count * 96 + sum(len(t.raw) + sum(map(len, t.items)) for t in tensors)


@dataclass(frozen=True, kw_only=True)
class StoreRows:
    """What one file of the spool holds."""

    parts: tuple[StoredRows, ...]

    @property
    def row_count(self) -> int:
        """Return how many rows there are."""
        return sum(part.row_count for part in self.parts)


def row_bytes(columns: Sequence[Array]) -> int:
    """Return the bytes of one row of some arrays of numbers, shapes (rows, ...)."""
    return sum(array.nbytes // max(1, len(array)) for array in columns)


def _text(item: object) -> str:
    return "" if item is None else str(item)
