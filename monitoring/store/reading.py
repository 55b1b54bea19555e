"""Reads files of the store with DuckDB: filters, joins the truth, leaves out what was deleted.

One file is one query, so that a damaged file costs its own rows only, and memory holds a few row groups.
All files of a call share one engine: to start one takes longer than to ask a small file (before it is
compacted, a day has thousands).
Rows come to DuckDB as a stream of Arrow batches whose checksums were verified; it has no access to files
or to the network itself, so any SQL may be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from aiplatform.errors import ArtifactCorruptError, PlatformError
from aiplatform.late import late_module
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import base_schema, facts_of
from monitoring import metrics
from monitoring.store.locations import milliseconds
from monitoring.store.opening import open_parquet
from monitoring.store.selection import Selection, condition, filter_batch, row_groups
from monitoring.store.tombstones import tombstones_of
from monitoring.store.truth import truth_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
else:
    duckdb = late_module("duckdb")
    pa = late_module("pyarrow")

BATCH_ROWS = 2000
ENGINE: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1, "memory_limit": "512MB", "enable_external_access": "false", "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}  # fmt: skip
OnProblem = Callable[[StoredFile, PlatformError], None]
log = structlog.get_logger(__name__)

_SQL = """
    SELECT r.* REPLACE (
        CASE WHEN t.prediction_id IS NULL THEN r.label ELSE t.label END AS label,
        CASE WHEN t.prediction_id IS NULL THEN r.value ELSE t.value END AS value
    )
    FROM rows r LEFT JOIN truth t ON r.prediction_id = t.prediction_id AND r.row = t.row
    WHERE r.prediction_id NOT IN (SELECT prediction_id FROM gone)
      AND (r.subject IS NULL OR NOT EXISTS (
          SELECT 1 FROM forgotten f WHERE f.subject = r.subject AND r.time <= f.until))
"""


class Engine:
    """DuckDB, started with the first file that is asked; after a query that failed the next file has a new one."""

    def __init__(self) -> None:
        self._connection: Any = None

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *failure: object) -> None:
        self._close()

    @contextmanager
    def connection(self) -> Iterator[Any]:
        """Give the connection; one in which something went wrong is used no more."""
        if self._connection is None:
            self._connection = duckdb.connect(":memory:", config=ENGINE)
            self._connection.execute("SET TimeZone = 'UTC'")
        try:
            yield self._connection
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def read_file(file: StoredFile, selection: Selection, *, engine: Engine | None = None) -> Iterator[Any]:
    """Give the selected rows of a file as Arrow batches, whose fields say type and shape of tensors.

    One `engine` may read many files, one after the other: each to its end before the next begins.
    Raises: ArtifactError if it cannot be read, ArtifactCorruptError if it is damaged.
    """
    if engine is None:
        with Engine() as own:
            yield from read_file(file, selection, engine=own)
        return
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        schema = source.schema_arrow
        if not set(base_schema().names) <= set(schema.names):
            raise ArtifactCorruptError(f"{file.uri} holds no predictions and is left out")
        wanted = list(dict.fromkeys((*base_schema().names, *(selection.columns or schema.names))))
        groups = row_groups(source, selection)
        if not groups or not set(wanted) <= set(schema.names):
            return
        schema = pa.schema([schema.field(name) for name in wanted], metadata=schema.metadata)
        pages = _Pages(source.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=wanted))
        joined = _joined(file)
        try:
            for batch in _selected(engine, pa.RecordBatchReader.from_batches(schema, pages), selection, joined):
                if batch.num_rows:
                    yield _described(batch, schema)
        except (duckdb.Error, OSError):
            if pages.error is None:
                raise
            raise pages.error from None  # what lies behind the engine's own complaint


class _Pages:
    """The batches of a file, and what went wrong when they were read."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._batches = batches
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batches
        except Exception as error:
            self.error = error
            raise


def _selected(engine: Engine, stream: Any, selection: Selection, joined: dict[str, Any]) -> Iterator[Any]:
    """Give a file's rows as `_SQL` has them; where that has nothing to join, without planning a query."""
    if any(table.num_rows for table in joined.values()) or selection.asks_sql:
        with engine.connection() as connection:
            for name, table in {"rows": stream, **joined}.items():
                connection.register(name, table)
            yield from _asked(connection, selection)
    else:
        for batch in stream:
            yield filter_batch(batch, selection)


def read_files(
    files: Iterable[StoredFile], selection: Selection, *, on_problem: OnProblem | None = None
) -> Iterator[tuple[StoredFile, Any]]:
    """Give file by file the selected rows; a damaged file is told to `on_problem`, logged, and left out.

    What was given of a file before its damage was found stays given.
    Raises: ArtifactError if the store cannot be read.
    """
    with Engine() as engine:
        for file in files:
            try:
                for batch in read_file(file, selection, engine=engine):
                    yield file, batch
            except ArtifactCorruptError as error:
                note_problem(file, error)
                if on_problem is not None:
                    on_problem(file, error)


def note_problem(file: StoredFile, error: PlatformError) -> None:
    """Log and count a file that cannot be read."""
    metrics.STORE_UNREADABLE.inc()
    log.error("stored_file_unreadable", uri=file.uri, error=error.message)


def class_labels_of(schema: Any) -> tuple[str, ...]:
    """Return the names of the classes that a file's outputs score."""
    return tuple(facts_of(schema).get("class_labels", ()))


def _asked(engine: Any, selection: Selection) -> Any:
    columns = "*" if selection.columns is None else ", ".join(f'"{name}"' for name in selection.columns)
    sql = f"SELECT {columns} FROM ({_SQL}) WHERE {condition(selection)}"  # noqa: S608 - made of our own words
    if selection.order:
        sql += f" ORDER BY {selection.order}"
    if selection.limit is not None:
        sql += f" LIMIT {int(selection.limit)}"
    engine.register("wanted", pa.table({"prediction_id": pa.array(selection.prediction_ids, pa.string())}))
    return engine.sql(sql).to_arrow_reader(BATCH_ROWS)


def _joined(file: StoredFile) -> dict[str, Any]:
    """Return the tables that `_SQL` joins to a file's rows."""
    gone, forgotten = tombstones_of(file)
    return {"truth": truth_of(file), "gone": gone, "forgotten": forgotten}


def _described(batch: Any, schema: Any) -> Any:
    """Return a batch with the fields' and the file's metadata, which the query engine does not carry."""
    fields = []
    for field_ in batch.schema:
        place = schema.get_field_index(field_.name)
        fields.append(field_ if place < 0 else field_.with_metadata(schema.field(place).metadata))
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields, metadata=schema.metadata))


__all__ = ["Selection", "class_labels_of", "milliseconds", "note_problem", "read_file", "read_files"]
