"""The store as CSV or Parquet for other tools, streamed: memory holds a batch, not the period."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiplatform.errors import ArtifactCorruptError, InvalidInputError
from aiplatform.late import late_module
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import base_schema
from monitoring.store.locations import list_period
from monitoring.store.opening import open_parquet
from monitoring.store.reading import OnProblem, Selection, note_problem, read_files

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet
else:
    pa = late_module("pyarrow")
    parquet = late_module("pyarrow.parquet")

FORMATS = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """Which rows, as what."""

    endpoint: str
    since: datetime
    until: datetime
    form: str = "csv"
    version: int | None = None


def export_rows(order: ExportOrder, *, on_problem: OnProblem | None = None) -> Iterator[bytes]:
    """Return the bytes of a file with all rows of a period: every column that any of its files has.

    In CSV, lists are JSON. A damaged file is left out and told to `on_problem`. What is wrong with the order
    is raised at once, not with the first chunk: InvalidInputError; ArtifactError if the store cannot be read.
    """
    if order.form not in FORMATS:
        raise InvalidInputError(f"the format must be one of {', '.join(FORMATS)}, not '{order.form}'")
    schema, batches = common_rows(
        order.endpoint, since=order.since, until=order.until, version=order.version, on_problem=on_problem
    )
    return (_csv if order.form == "csv" else _parquet)(schema, batches)


def common_rows(
    endpoint: str,
    *,
    since: datetime,
    until: datetime,
    version: int | None = None,
    on_problem: OnProblem | None = None,
) -> tuple[Any, Iterator[Any]]:
    """Return a schema that holds all rows of a period, and the rows in it, batch by batch.

    Raises: InvalidInputError if the period is empty or no schema fits; ArtifactError.
    """
    if since >= until:
        raise InvalidInputError(f"the period must begin before it ends: {since} to {until}")
    schema, readable = _common_schema(list(list_period(endpoint, since=since, until=until)), on_problem)
    selection = Selection(since=since, until=until, version=version)
    rows = read_files(readable, selection, on_problem=on_problem)
    return schema, (_fitted(batch, schema) for _, batch in rows)


def _common_schema(files: list[StoredFile], on_problem: OnProblem | None) -> tuple[Any, list[StoredFile]]:
    """Return a schema that holds the rows of all files, and the files whose own can be read."""
    common, readable = base_schema(), []
    for file in files:
        try:
            with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
                own = pa.schema([field.remove_metadata() for field in source.schema_arrow])
        except ArtifactCorruptError as error:
            note_problem(file, error)
            if on_problem is not None:
                on_problem(file, error)
            continue
        try:
            common = pa.unify_schemas([common, own], promote_options="permissive")
        except pa.ArrowException as error:
            raise InvalidInputError(
                f"the period holds columns of one name and different types ({error}); export one version at a time"
            ) from error
        readable.append(file)
    return common, readable


def _fitted(batch: Any, schema: Any) -> Any:
    columns = []
    for field in schema:
        place = batch.schema.get_field_index(field.name)
        columns.append(pa.nulls(batch.num_rows, field.type) if place < 0 else batch.column(place).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _csv(schema: Any, batches: Iterator[Any]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(schema.names)
    for batch in batches:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            writer.writerow([_cell(value) for value in row])
            if text.tell() >= CHUNK_BYTES:
                yield _taken(text)
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    chunk = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return chunk


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value, default=_as_text)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return _as_text(value)
    return value


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class _Pipe(io.RawIOBase):
    """A file that only takes; `take` gives what was written since."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self._chunks.append(bytes(chunk))
        return len(chunk)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def _parquet(schema: Any, batches: Iterator[Any]) -> Iterator[bytes]:
    pipe = _Pipe()
    with parquet.ParquetWriter(pa.PythonFile(pipe, mode="w"), schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            if chunk := pipe.take():
                yield chunk
    yield pipe.take()
