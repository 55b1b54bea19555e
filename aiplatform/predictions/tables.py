"""Recorded predictions as Arrow tables, and those as Parquet: readable by any tool, and back to arrays.

    prediction_id, row, time, model, version, artifact_digest, latency_ms, http_status, trace_id, subject,
    predicted_label, confidence, predicted_value, label, value, is_whole,
    input.NAME, output.NAME    a number or text, or a list where a row has several elements
    embedding                  a list: what the model computed for monitoring alone
    shape.input.NAME, ...      the shape of such a list
    hash.NAME                  the pseudonym of a hashed feature; hash. that of all inputs

`label` and `value` are the truth: empty when written, filled in by compaction and when read.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from aiplatform.embeddings import EMBEDDING
from aiplatform.late import late_module
from aiplatform.predictions.rows import Array, StoredRows, TensorColumn
from aiplatform.tensors import DType

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa = late_module("pyarrow")
    parquet = late_module("pyarrow.parquet")

GROUP_BYTES = 8 * 1024 * 1024  # of rows in one row group, which a reader holds at once
MIN_GROUP_ROWS, MAX_GROUP_ROWS = 100, 20_000
FACTS = b"aiplatform"
INPUT, OUTPUT, SHAPE, HASH = "input.", "output.", "shape.", "hash."
# Few values, or sorted ones: their statistics lead a reader past row groups, a dictionary makes them small.
_CODED = ("model", "version", "artifact_digest", "http_status", "predicted_label", "label", "is_whole", "row")
_WITH_STATISTICS = ["prediction_id", "time", "version", "subject"]


@functools.cache
def base_schema() -> pa.Schema:
    """Return the columns that every file of the prediction store has, in their order."""
    return pa.schema(
        [
            pa.field("prediction_id", pa.string()),
            pa.field("row", pa.int32()),
            pa.field("time", pa.timestamp("us", tz="UTC")),
            pa.field("model", pa.string()),
            pa.field("version", pa.int32()),
            pa.field("artifact_digest", pa.string()),
            pa.field("latency_ms", pa.float32()),
            pa.field("http_status", pa.int16()),
            pa.field("trace_id", pa.string()),
            pa.field("subject", pa.string()),
            pa.field("predicted_label", pa.string()),
            pa.field("confidence", pa.float64()),
            pa.field("predicted_value", pa.float64()),
            pa.field("label", pa.string()),
            pa.field("value", pa.float64()),
            pa.field("is_whole", pa.bool_()),
        ]
    )


def table_from_rows(part: StoredRows) -> Any:
    """Return a part as a table.

    Raises: InvalidInputError if its columns do not fit together.
    """
    rows = part.row_count
    columns = list(zip(base_schema(), _base_columns(part), strict=True))
    for prefix, tensors in ((INPUT, part.inputs), (OUTPUT, part.outputs)):
        for name, tensor in tensors.items():
            columns += _tensor_columns(prefix + name, tensor, rows)
    if part.embedding is not None:
        columns += _tensor_columns(EMBEDDING, part.embedding, rows)
    columns += [(pa.field(HASH + name, pa.string()), pa.array(hashes)) for name, hashes in part.hashes.items()]
    schema = pa.schema([field for field, _ in columns])
    return pa.Table.from_arrays([column for _, column in columns], schema=schema)


def parquet_bytes(table: Any, *, metadata: Mapping[bytes, bytes] | None = None, level: int = 1) -> bytes:
    """Return a table as a Parquet file, each page with a checksum; `level` is that of Zstandard."""
    sink = io.BytesIO()
    merged = {**(table.schema.metadata or {}), **(metadata or {})}
    parquet.write_table(table.replace_schema_metadata(merged), sink, **parquet_options(table, level))
    return sink.getvalue()


def parquet_options(table: Any, level: int) -> dict[str, Any]:
    """Return how tables are written."""
    coded = [name for name in table.schema.names if name in _CODED or name.startswith(SHAPE)]
    return {
        "row_group_size": group_rows(table.nbytes, table.num_rows),
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": [f"{name}.list.element" if name.startswith(SHAPE) else name for name in coded],
        "write_statistics": _WITH_STATISTICS,
        "write_page_checksum": True,
    }


def group_rows(size_bytes: int, rows: int) -> int:
    """Return how many rows of a table make a row group."""
    fitting = GROUP_BYTES * max(1, rows) // max(1, size_bytes)
    return int(min(MAX_GROUP_ROWS, max(MIN_GROUP_ROWS, fitting)))


def describe_file(
    *, class_labels: Sequence[str] = (), replaces: Sequence[str] = (), **texts: str
) -> dict[bytes, bytes]:
    """Return a file's metadata: the names of its classes, and which files a compacted one stands for."""
    facts = {"class_labels": list(class_labels), "replaces": list(replaces), **texts}
    return {FACTS: msgspec.json.encode(facts)}


def facts_of(schema: Any) -> dict[str, Any]:
    """Return what `describe_file` wrote."""
    raw = (schema.metadata or {}).get(FACTS)
    return dict(msgspec.json.decode(raw)) if raw else {}


def tensors_of(batch: Any, prefix: str) -> dict[str, Array]:
    """Return the tensors of some rows that have one shape each, shape (rows, ...); absent ones are left out."""
    found = {}
    for field in batch.schema:
        if field.name.startswith(prefix):
            column = _joined(batch.column(field.name))
            if not column.null_count:
                found[field.name.removeprefix(prefix)] = _tensor(field, column, batch)
    return found


def row_tensors(batch: Any, prefix: str) -> Iterator[dict[str, Array]]:
    """Give the tensors of one row after the other, shape (1, ...)."""
    if _has_one_shape(batch, prefix):
        whole = tensors_of(batch, prefix)
        for i in range(batch.num_rows):
            yield {name: array[i : i + 1] for name, array in whole.items()}
        return
    for i in range(batch.num_rows):
        yield tensors_of(batch.slice(i, 1), prefix)


def _has_one_shape(batch: Any, prefix: str) -> bool:
    """Say whether each tensor has the same shape in all rows, and none is missing in some."""
    for name in batch.schema.names:
        column = batch.column(name)
        if name.startswith(SHAPE + prefix) and len(column.value_lengths().unique()) > 1:
            return False
        if name.startswith(prefix) and 0 < column.null_count < len(column):
            return False
        if name.startswith(SHAPE + prefix):
            sides = np.asarray(column.flatten()).reshape(len(column), -1)
            if (sides != sides[0]).any():
                return False
    return True


def _base_columns(part: StoredRows) -> list[Any]:
    rows = part.row_count
    times = (part.times_s.unpack(rows, "times_s") * 1e6).round().astype("datetime64[us]")
    unknown = [pa.nulls(rows, pa.string()), pa.nulls(rows, pa.float64())]
    return [
        pa.array(part.prediction_ids.to_list(), pa.string()),
        pa.array(part.rows.unpack(rows, "rows").astype(np.int32)),
        pa.array(times).cast(base_schema().field("time").type),
        _constant(part.model, pa.string(), rows),
        _constant(part.version, pa.int32(), rows),
        _constant(part.artifact_digest, pa.string(), rows),
        pa.array(part.latencies_ms.unpack(rows, "latencies_ms").astype(np.float32)),
        pa.array(part.http_statuses.unpack(rows, "http_statuses").astype(np.int16)),
        *(_texts(column, rows) for column in (part.trace_ids, part.subjects, part.predicted_labels)),
        *(_numbers(column, rows) for column in (part.confidences, part.predicted_values)),
        *unknown,  # the truth comes later
        _constant(part.is_whole, pa.bool_(), rows),
    ]


def _constant(value: Any, kind: Any, rows: int) -> Any:
    return pa.repeat(pa.scalar(value, kind), rows)


def _texts(column: Any, rows: int) -> Any:
    if column is None:
        return pa.nulls(rows, pa.string())
    return pa.array(column.to_list(), pa.string())


def _numbers(column: Any, rows: int) -> Any:
    if column is None:
        return pa.nulls(rows, pa.float64())
    return pa.array(column.unpack(rows, "numbers").astype(np.float64), from_pandas=True)  # NaN is none


def _tensor_columns(name: str, tensor: TensorColumn, rows: int) -> list[tuple[Any, Any]]:
    values = tensor.unpack(rows, name)
    flat = _flat(values, tensor)
    described = {b"dtype": tensor.dtype.encode(), b"shape": ",".join(map(str, tensor.shape)).encode()}
    size = int(np.prod(tensor.shape, dtype=np.int64))
    if size == 1:
        return [(pa.field(name, flat.type, metadata=described), flat)]
    lists = _lists(flat, rows, size)
    shapes = _lists(pa.array(np.tile(np.array(tensor.shape, np.int32), rows)), rows, len(tensor.shape))
    described[b"shape"] = b""
    return [(pa.field(name, lists.type, metadata=described), lists), (pa.field(SHAPE + name, shapes.type), shapes)]


def _flat(values: Array, tensor: TensorColumn) -> Any:
    flat = values.reshape(-1)
    if tensor.dtype == DType.BYTES:
        return pa.array(flat.tolist(), pa.string() if tensor.is_text else pa.binary())
    if tensor.dtype in (DType.BF16, DType.FP16):  # of which query engines know little; float32 holds them exactly
        return pa.array(flat.astype(np.float32))
    return pa.array(flat)


def _lists(flat: Any, rows: int, size: int) -> Any:
    offsets = pa.array(np.arange(rows + 1, dtype=np.int64) * size)
    return pa.LargeListArray.from_arrays(offsets, flat)


def _tensor(field: Any, column: Any, batch: Any) -> Array:
    dtype = DType((field.metadata or {}).get(b"dtype", b"BYTES").decode())
    is_list = pa.types.is_large_list(field.type) or pa.types.is_list(field.type)
    flat = _flat_array(column.flatten() if is_list else column, dtype)
    if is_list:
        shape: Sequence[int] = batch.column(SHAPE + field.name)[0].as_py()
    else:
        shape = _shape((field.metadata or {}).get(b"shape", b"").decode())
    return flat.reshape(len(batch), *shape)


def _flat_array(column: Any, dtype: DType) -> Array:
    if dtype is DType.BYTES:
        flat: Array = np.empty(len(column), dtype=object)
        flat[:] = column.to_pylist()
        return flat
    values: Array = np.asarray(column.to_numpy(zero_copy_only=False))
    return values.astype(dtype.numpy, copy=False)


def _shape(text: str) -> Sequence[int]:
    return tuple(int(side) for side in text.split(",") if side)


def _joined(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
