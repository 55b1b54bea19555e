"""A monitoring that can be away, and predictions to record."""

from __future__ import annotations

import functools
import itertools
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiplatform.contracts.columns import Numbers, Texts
from aiplatform.contracts.monitoring import IngestReceipt, PredictionBatch, RecordPredictions
from aiplatform.errors import PlatformError
from inference.recording.pieces import stack
from inference.recording_api import EVENT_BYTES, CallRows, PredictionEvent, Source

SOURCE = ("endpoint", "model", "version", "artifact_uri", "artifact_digest")


class FakeMonitoring:
    """Takes batches as monitoring does: by id, once; `failure` is raised instead while it is set."""

    def __init__(self) -> None:
        self.failure: PlatformError | None = None
        self.loses_answers = False  # takes the batches, but the caller never hears of it
        self.batches: dict[str, PredictionBatch] = {}
        self.duplicates = 0
        self.gate = threading.Event()
        self.gate.set()

    def record(self, order: RecordPredictions) -> IngestReceipt:
        assert self.gate.wait(20)
        if self.failure is not None and not self.loses_answers:
            raise self.failure
        for batch in order.batches:
            self.duplicates += batch.batch_id in self.batches
            self.batches.setdefault(batch.batch_id, batch)
        if self.failure is not None:
            raise self.failure
        return IngestReceipt(accepted=len(order.batches), duplicates=0)

    @property
    def ids(self) -> list[str]:
        """Return the prediction ids in the order in which they came."""
        return [name for batch in self.batches.values() for name in batch.prediction_ids.to_list()]


class Drops:
    """Counts dropped rows by reason."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}

    def __call__(self, rows: int, reason: str) -> None:
        self.rows[reason] = self.rows.get(reason, 0) + rows


def event(number: int, *, rows: int = 1, **more: Any) -> PredictionEvent:
    """Return a prediction with a recognisable id."""
    values = {
        "prediction_id": f"p{number:05d}",
        "endpoint": "digits",
        "model": "digits",
        "version": 1,
        "artifact_uri": "file:///a",
        "artifact_digest": "sha256:1",
        "time_s": 1000.0 + number,
        "latency_ms": 2.5,
        "http_status": 200,
        "inputs": {"age": np.full((rows, 1), float(number), dtype=np.float32)},
        "outputs": {"probabilities": np.tile(np.array([[0.25, 0.75]], dtype=np.float32), (rows, 1))},
        "labels": ("no", "yes"),
    }
    return make_event(**{**values, **more})


def make_event(**values: Any) -> PredictionEvent:
    """Return a prediction that was an engine call by itself: its source's, its call's and its own values together."""
    source = a_source(*(values.pop(name) for name in SOURCE), tuple(values.pop("labels", ())))
    inputs, outputs = values.pop("inputs", None), values.pop("outputs", None)
    embedding = values.pop("embedding", None)
    call = None if inputs is None else CallRows(inputs, outputs or {}, embedding)
    rows = 1 if call is None else call.rows
    size_bytes = EVENT_BYTES if call is None else EVENT_BYTES + rows * call.row_bytes
    return PredictionEvent(source, call=call, start=0, rows=rows, size_bytes=size_bytes, **values)


@functools.cache
def a_source(*values: Any) -> Source:
    """Return the one source of these values, as a loaded version has one."""
    return Source(**dict(zip((*SOURCE, "labels"), values, strict=True)))


def called_together(*events: PredictionEvent) -> list[PredictionEvent]:
    """Return the same answered events as if they had shared an engine call, in this order."""
    calls = [one.call for one in events if one.call is not None]
    embeddings = [call.embedding for call in calls if call.embedding is not None]
    whole = CallRows(
        stack([call.inputs for call in calls]),
        stack([call.outputs for call in calls]),
        np.concatenate(embeddings) if embeddings else None,
    )
    starts = itertools.accumulate((one.rows for one in events), initial=0)
    return [one._replace(call=whole, start=start) for one, start in zip(events, starts, strict=False)]


def failed(number: int, status: int = 503, **more: Any) -> PredictionEvent:
    """Return a prediction that failed."""
    return event(number, http_status=status, inputs=None, outputs=None, **more)


@dataclass(frozen=True)
class Rows:
    """A batch's columns as tuples, None for what is missing."""

    batch_id: str
    endpoint: str
    version: int
    prediction_ids: tuple[str, ...]
    rows: tuple[int, ...]
    times_s: tuple[float, ...]
    latencies_ms: tuple[float, ...]
    http_statuses: tuple[int, ...]
    numeric_features: dict[str, tuple[float | None, ...]]
    category_features: dict[str, tuple[str | None, ...]]
    predicted_labels: tuple[str | None, ...]
    confidences: tuple[float | None, ...]
    predicted_values: tuple[float | None, ...]


def read(batch: PredictionBatch) -> Rows:
    """Return what a batch says, checking that all columns have its length."""
    size = batch.row_count

    def numbers(column: Numbers | None) -> Any:
        values = () if column is None else column.unpack(size, "column").tolist()
        return tuple(None if value != value else value for value in values)

    def texts(column: Texts | None) -> tuple[str | None, ...]:
        if column is None:
            return ()
        column.unpack(size, "column")
        return tuple(column.to_list())

    assert len(batch.prediction_ids) == size
    return Rows(
        batch_id=batch.batch_id, endpoint=batch.endpoint, version=batch.version,
        prediction_ids=tuple(batch.prediction_ids.to_list()), rows=numbers(batch.rows), times_s=numbers(batch.times_s),
        latencies_ms=numbers(batch.latencies_ms), http_statuses=numbers(batch.http_statuses),
        numeric_features={name: numbers(column) for name, column in batch.numeric_features.items()},
        category_features={name: texts(column) for name, column in batch.category_features.items()},
        predicted_labels=texts(batch.predicted_labels), confidences=numbers(batch.confidences),
        predicted_values=numbers(batch.predicted_values),
    )  # fmt: skip
