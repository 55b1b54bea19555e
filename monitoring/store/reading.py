"""Reads files of the store with DuckDB: filters, joins the truth, leaves out what was deleted.

One file is one query, so that a damaged file costs its own rows only, and memory holds a few row groups.
Rows come to DuckDB as a stream of Arrow batches whose checksums were verified; it has no access to files
or to the network itself, so any SQL may be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa
import structlog

from aiplatform.errors import ArtifactCorruptError, PlatformError
from aiplatform.predictions.files import StoredFile
from aiplatform.predictions.tables import BASE_SCHEMA, facts_of
from monitoring import metrics
from monitoring.store.locations import milliseconds
from monitoring.store.opening import open_parquet
from monitoring.store.tombstones import tombstones_of
from monitoring.store.truth import truth_of

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


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which rows of a file: from `since` to before `until`, of a version, of predictions; as `where` says.

    `where` is SQL over the columns as they are read, in which labels are joined; `order` and `limit` are SQL too.
    Of a file only `columns` are read, and those that every file has; one without one of them has no such rows.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: int | None = None
    prediction_ids: tuple[str, ...] = ()
    where: str = ""
    order: str = ""
    limit: int | None = None
    columns: tuple[str, ...] | None = field(default=None)


def read_file(file: StoredFile, selection: Selection) -> Iterator[Any]:
    """Give the selected rows of a file as Arrow batches, whose fields say type and shape of tensors.

    Raises: ArtifactError if it cannot be read, ArtifactCorruptError if it is damaged.
    """
    with open_parquet(file.uri, size_bytes=file.size_bytes) as source:
        schema = source.schema_arrow
        if not set(BASE_SCHEMA.names) <= set(schema.names):
            raise ArtifactCorruptError(f"{file.uri} holds no predictions and is left out")
        wanted = list(dict.fromkeys((*BASE_SCHEMA.names, *(selection.columns or schema.names))))
        groups = _row_groups(source, selection)
        if not groups or not set(wanted) <= set(schema.names):
            return
        schema = pa.schema([schema.field(name) for name in wanted], metadata=schema.metadata)
        pages = _Pages(source.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=wanted))
        try:
            for batch in _query(file, pa.RecordBatchReader.from_batches(schema, pages), selection):
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


def _query(file: StoredFile, stream: Any, selection: Selection) -> Iterator[Any]:
    with duckdb.connect(":memory:", config=ENGINE) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("rows", stream)
        _register_truth(engine, file)
        yield from _asked(engine, selection)


def read_files(
    files: Iterable[StoredFile], selection: Selection, *, on_problem: OnProblem | None = None
) -> Iterator[tuple[StoredFile, Any]]:
    """Give file by file the selected rows; a damaged file is told to `on_problem`, logged, and left out.

    What was given of a file before its damage was found stays given.
    Raises: ArtifactError if the store cannot be read.
    """
    for file in files:
        try:
            for batch in read_file(file, selection):
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
    sql = f"SELECT {columns} FROM ({_SQL}) WHERE {_condition(selection)}"  # noqa: S608 - made of our own words
    if selection.order:
        sql += f" ORDER BY {selection.order}"
    if selection.limit is not None:
        sql += f" LIMIT {int(selection.limit)}"
    engine.register("wanted", pa.table({"prediction_id": pa.array(selection.prediction_ids, pa.string())}))
    return engine.sql(sql).to_arrow_reader(BATCH_ROWS)


def _condition(selection: Selection) -> str:
    parts = [f"({selection.where})"] if selection.where else ["true"]
    if selection.since is not None:
        parts.append(f"time >= make_timestamptz({_microseconds(selection.since)})")
    if selection.until is not None:
        parts.append(f"time < make_timestamptz({_microseconds(selection.until)})")
    if selection.version is not None:
        parts.append(f"version = {int(selection.version)}")
    if selection.prediction_ids:
        parts.append("prediction_id IN (SELECT prediction_id FROM wanted)")
    return " AND ".join(parts)


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def _register_truth(engine: Any, file: StoredFile) -> None:
    gone, forgotten = tombstones_of(file)
    engine.register("truth", truth_of(file))
    engine.register("gone", gone)
    engine.register("forgotten", forgotten)


def _row_groups(source: Any, selection: Selection) -> list[int]:
    """Return the row groups that may hold what is asked, by their statistics."""
    places = {name: i for i, name in enumerate(source.schema.names) if name in ("time", "prediction_id")}
    return [
        group
        for group in range(source.num_row_groups)
        if _may_hold(source.metadata.row_group(group), places, selection)
    ]


def _may_hold(group: Any, places: dict[str, int], selection: Selection) -> bool:
    time = _statistics(group, places, "time")
    if time is not None:
        if selection.since is not None and time.max < selection.since:
            return False
        if selection.until is not None and time.min >= selection.until:
            return False
    ids = _statistics(group, places, "prediction_id")
    if selection.prediction_ids and ids is not None:
        return any(ids.min <= name <= ids.max for name in selection.prediction_ids)
    return True


def _statistics(group: Any, places: dict[str, int], name: str) -> Any:
    if name not in places:
        return None
    found = group.column(places[name]).statistics
    return found if found is not None and found.has_min_max else None


def _described(batch: Any, schema: Any) -> Any:
    """Return a batch with the fields' and the file's metadata, which the query engine does not carry."""
    fields = []
    for field_ in batch.schema:
        place = schema.get_field_index(field_.name)
        fields.append(field_ if place < 0 else field_.with_metadata(schema.field(place).metadata))
    return pa.RecordBatch.from_arrays(batch.columns, schema=pa.schema(fields, metadata=schema.metadata))


__all__ = ["Selection", "class_labels_of", "milliseconds", "note_problem", "read_file", "read_files"]
