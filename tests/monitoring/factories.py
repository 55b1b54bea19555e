"""Batches of predictions for tests."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aiplatform.contracts.monitoring import PredictionBatch

NOW = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)
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
    **changes: Any,
) -> PredictionBatch:
    """Return a batch of `size` single-row requests at one time."""
    latencies = (latency_ms,) * size if isinstance(latency_ms, float) else tuple(latency_ms)
    values: dict[str, Any] = {
        "batch_id": batch_id or uuid.uuid4().hex,
        "replica": "replica-1",
        "endpoint": endpoint,
        "model": "digits-model",
        "version": version,
        "artifact_uri": uri,
        "artifact_digest": digest,
        "prediction_ids": tuple(ids) or tuple(uuid.uuid4().hex for _ in range(size)),
        "rows": (0,) * size,
        "times_s": (time.timestamp(),) * size,
        "latencies_ms": latencies,
        "http_statuses": tuple(statuses) or (200,) * size,
        "numeric_features": {n: tuple(np.asarray(c, dtype=float).tolist()) for n, c in (numeric or {}).items()},
        "category_features": {n: tuple(c) for n, c in (categories or {}).items()},
        "predicted_labels": tuple(labels) or ("7",) * size,
        "confidences": (0.9,) * size,
    }
    return PredictionBatch(**{**values, **changes})
