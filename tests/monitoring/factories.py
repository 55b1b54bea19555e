"""Batches of predictions for tests."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from aiplatform.contracts.columns import Numbers, PredictionIds, Texts
from aiplatform.contracts.monitoring import PredictionBatch

# Yesterday, half a minute past noon. No fixed date: what is older than the retention is read in hours, and then goes.
NOW = (datetime.now(UTC) - timedelta(days=1)).replace(hour=12, minute=0, second=30, microsecond=0)
DIGEST = "sha256:" + "0" * 64


def now() -> datetime:
    """Return the real time, for what measures up to now."""
    return datetime.now(UTC)


def make_batch(
    size: int = 100,
    *,
    batch_id: str = "",
    time: datetime = NOW,
    endpoint: str = "digits",
    version: int = 1,
    ids: Sequence[str] = (),
    labels: Sequence[str | None] = (),
    statuses: Sequence[int] = (),
    numeric: Mapping[str, Any] | None = None,
    categories: Mapping[str, Sequence[str | None]] | None = None,
    latency_ms: float | Sequence[float] = 5.0,
    uri: str = "file:///nowhere",
    digest: str = DIGEST,
    embedding: Any = None,
    **changes: Any,
) -> PredictionBatch:
    """Return a batch of `size` single-row requests at one time."""
    latencies = (latency_ms,) * size if isinstance(latency_ms, float) else tuple(latency_ms)
    columns: dict[str, Any] = {
        "rows": (0,) * size,
        "times_s": (time.timestamp(),) * size,
        "latencies_ms": latencies,
        "http_statuses": tuple(statuses) or (200,) * size,
        "predicted_labels": tuple(labels) or ("7",) * size,
        "confidences": (0.9,) * size,
    }
    columns |= {name: changes.pop(name) for name in (*columns, "predicted_values") if name in changes}
    values: dict[str, Any] = {
        "batch_id": batch_id or uuid.uuid4().hex,
        "replica": "replica-1",
        "endpoint": endpoint,
        "model": "digits-model",
        "version": version,
        "artifact_uri": uri,
        "artifact_digest": digest,
        "row_count": size,
        "prediction_ids": PredictionIds.pack(tuple(ids) or tuple(uuid.uuid4().hex for _ in range(size))),
        "numeric_features": {name: numbers(column) for name, column in (numeric or {}).items()},
        "category_features": {name: Texts.pack(column) for name, column in (categories or {}).items()},
        "embedding": () if embedding is None else tuple(Numbers.pack(c, "f4") for c in np.asarray(embedding).T),
        **{name: pack(column) for name, column in columns.items() for pack in [_PACK.get(name, numbers)]},
    }
    return PredictionBatch(**{**values, **changes})


def numbers(column: Any) -> Numbers:
    """Return a column of numbers; None is missing."""
    return Numbers.pack(np.asarray(column, dtype=float))


_PACK: dict[str, Any] = {
    "rows": lambda column: Numbers.pack(column, "u4"),
    "http_statuses": lambda column: Numbers.pack(column, "u2"),
    "predicted_labels": Texts.pack,
}
