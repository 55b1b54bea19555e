"""One prediction out of the store, with everything that was kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from aiplatform.predictions.files import StoredFile, list_endpoints
from aiplatform.predictions.tables import HASH, INPUT, OUTPUT, row_tensors
from monitoring.store.locations import list_period, milliseconds, root
from monitoring.store.reading import Selection, class_labels_of, read_files
from monitoring.store.tombstones import time_of

SHOWN_ELEMENTS = 10_000  # of a tensor, in answers for people and programs
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class StoredRow:
    """One row as it is kept. Shapes: every array is that of one row, without the batch dimension."""

    prediction_id: str
    row: int
    time: datetime
    endpoint: str
    model: str
    version: int
    artifact_digest: str
    latency_ms: float
    http_status: int
    trace_id: str | None
    predicted_label: str | None
    confidence: float | None
    predicted_value: float | None
    label: str | None
    value: float | None
    is_whole: bool
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    hashes: Mapping[str, str] = field(default_factory=dict)
    class_labels: tuple[str, ...] = ()


def find_stored_rows(prediction_id: str, *, endpoint: str = "", time: datetime | None = None) -> list[StoredRow]:
    """Return the rows of a prediction in order; none if it was not sampled, is deleted, or not in the store yet.

    Without `time` the id must say when it was made. Raises: ArtifactError if the store cannot be read.
    """
    time = time_of(prediction_id) or time
    if time is None:
        return []
    found = [
        row
        for name in ([endpoint] if endpoint else list_endpoints(root()))
        for file, batch in read_files(_files_at(name, time), Selection(prediction_ids=(prediction_id,)))
        for row in _rows(file, batch)
    ]
    return sorted(found, key=lambda row: row.row)


def row_to_dict(row: StoredRow) -> dict[str, Any]:
    """Return a row as JSON-ready values; long tensors are cut and say so."""
    return {
        "row": row.row,
        "latency_ms": row.latency_ms,
        "http_status": row.http_status,
        "trace_id": row.trace_id,
        "is_whole": row.is_whole,
        "inputs": {name: tensor_to_dict(array) for name, array in row.inputs.items()},
        "outputs": {name: tensor_to_dict(array) for name, array in row.outputs.items()},
        "hashes": dict(row.hashes),
        "label": row.label,
        "value": row.value,
    }


def tensor_to_dict(array: Array) -> dict[str, Any]:
    """Return one tensor with its shape; beyond SHOWN_ELEMENTS its data are cut."""
    flat = array.reshape(-1)
    shown = [_plain(value) for value in flat[:SHOWN_ELEMENTS].tolist()]
    return {"shape": list(array.shape), "data": shown, "is_cut": len(flat) > SHOWN_ELEMENTS}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float) and not np.isfinite(value):
        return None  # JSON has no such numbers
    return value


def _files_at(endpoint: str, time: datetime) -> Iterator[StoredFile]:
    at_ms = milliseconds(time)
    for file in list_period(endpoint, since=time - timedelta(seconds=1), until=time + timedelta(seconds=1)):
        if file.first_ms - 1 <= at_ms <= file.last_ms + 1:
            yield file


def _rows(file: StoredFile, batch: Any) -> Iterator[StoredRow]:
    names = set(StoredRow.__dataclass_fields__) & set(batch.schema.names)
    hashes = [name for name in batch.schema.names if name.startswith(HASH)]
    tensors = zip(row_tensors(batch, INPUT), row_tensors(batch, OUTPUT), strict=True)
    for i, (inputs, outputs) in enumerate(tensors):
        yield StoredRow(
            **{name: batch.column(name)[i].as_py() for name in names},
            endpoint=file.endpoint,
            inputs={name: array[0] for name, array in inputs.items()},
            outputs={name: array[0] for name, array in outputs.items()},
            hashes={
                name.removeprefix(HASH): said for name in hashes if (said := batch.column(name)[i].as_py()) is not None
            },
            class_labels=class_labels_of(batch.schema),
        )
