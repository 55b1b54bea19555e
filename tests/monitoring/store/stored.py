"""Rows in a store of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aiplatform.contracts.monitoring import FeedbackItem, StorePolicy
from aiplatform.predictions.files import StoredFile, day_of, file_uri, list_days, list_files, write_whole
from aiplatform.predictions.tables import describe_file, parquet_bytes, table_from_rows
from inference.prediction_ids import new_prediction_id
from inference.recording.keeping import pack_rows
from inference.recording_api import PredictionEvent
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.store.locations import root
from tests.inference.recording.fakes import make_event
from tests.monitoring.factories import make_batch

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
POLICY = StorePolicy(sample_share=1.0, retention_days=30)
SECRET = "development-only-hash-secret"


def a_prediction(time: datetime = NOW, **more: Any) -> PredictionEvent:
    """Return one answered request: a table's row, with two classes."""
    values: dict[str, Any] = {
        "prediction_id": new_prediction_id(time.timestamp()),
        "endpoint": "credit",
        "model": "credit-model",
        "version": 1,
        "artifact_uri": "file:///nowhere",
        "artifact_digest": "sha256:" + "0" * 64,
        "time_s": time.timestamp(),
        "latency_ms": 2.5,
        "http_status": 200,
        "inputs": {"age": np.array([[30.0]], np.float32), "job": np.array([["clerk"]], dtype=object)},
        "outputs": {"probabilities": np.array([[0.25, 0.75]], np.float32)},
        "labels": ("bad", "good"),
    }
    return make_event(**{**values, **more})


def an_image(time: datetime = NOW, value: float = 7.0, **more: Any) -> PredictionEvent:
    """Return one answered request about an image."""
    inputs = {"image": np.full((1, 4, 4, 1), value, np.float32)}
    outputs = {"p": np.eye(10, dtype=np.float32)[[int(value) % 10]]}
    names = tuple("0123456789")
    return a_prediction(time, **{"endpoint": "digits", "inputs": inputs, "outputs": outputs, "labels": names, **more})


def store(*events: PredictionEvent, batch: str = "", policy: StorePolicy = POLICY) -> StoredFile:
    """Write events of one artifact and shape into one file, as the serving side does."""
    part = pack_rows(events, policy, inputs=policy.inputs, secret=SECRET)
    table = table_from_rows(part)
    first_ms, last_ms = (int(f(e.time_s for e in events) * 1000) for f in (min, max))
    uri = file_uri(
        root(), endpoint=part.endpoint, day=day_of(first_ms), first_ms=first_ms, last_ms=last_ms,
        batch=batch or uuid.uuid4().hex,
    )  # fmt: skip
    write_whole(uri, parquet_bytes(table, metadata=describe_file(class_labels=part.class_labels)))
    return next(file for file in all_files(part.endpoint) if file.uri == uri)


def index(*events: PredictionEvent, batch_id: str = "") -> None:
    """Tell monitoring of the same events."""
    source = events[0].source
    batch = make_batch(
        len(events), batch_id=batch_id, endpoint=source.endpoint, version=source.version, digest=source.artifact_digest,
        ids=[event.prediction_id for event in events], times_s=[event.time_s for event in events],
    )  # fmt: skip
    latest = datetime.fromtimestamp(max(event.time_s for event in events), UTC)
    record_predictions(batches=[batch], now=latest + timedelta(seconds=1))


def label(event: PredictionEvent, truth: str) -> None:
    """Say what was right."""
    record_feedback(items=[FeedbackItem(prediction_id=event.prediction_id, label=truth)])


def all_files(endpoint: str = "credit") -> list[StoredFile]:
    """Return every file of an endpoint, also those that another stands for."""
    return [file for day in list_days(root(), endpoint) for file in list_files(root(), endpoint, day)]


def ids(events: Sequence[Any]) -> list[str]:
    """Return the ids of events or requests."""
    return [event.prediction_id for event in events]
