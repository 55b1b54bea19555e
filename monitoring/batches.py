"""Turns a batch of predictions into window contents, one a minute, in columns and not in rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aiplatform.contracts.monitoring import PredictionBatch
from aiplatform.errors import InvalidInputError
from aiplatform.profiles import CategoryProfile, DataProfile, FeatureProfile, NumericProfile
from monitoring.windows import MINUTE_S, WindowContent

MAX_TEXT = 200  # characters of a category or label that are told apart
MAX_CLOCK_AHEAD_S = 60.0

Array = np.ndarray[Any, Any]
PredictionRow = tuple[str, int, datetime, str | None, float | None, float | None]


@dataclass(kw_only=True)
class MinuteContent:
    """What one batch says of one minute (since the epoch): its counts and its single predictions."""

    minute: int
    content: WindowContent
    predictions: list[PredictionRow]


def check_batch(batch: PredictionBatch) -> None:
    """Raise InvalidInputError unless all columns have the batch's length and the names fit."""
    size = len(batch.prediction_ids)
    columns: dict[str, Sequence[Any]] = {
        "rows": batch.rows, "times_s": batch.times_s, "latencies_ms": batch.latencies_ms,
        "http_statuses": batch.http_statuses, **batch.numeric_features, **batch.category_features,
    }  # fmt: skip
    outputs = {
        "predicted_labels": batch.predicted_labels,
        "confidences": batch.confidences,
        "predicted_values": batch.predicted_values,
    }
    columns.update({name: column for name, column in outputs.items() if column})
    for name, column in columns.items():
        if len(column) != size:
            raise InvalidInputError(
                f"batch '{batch.batch_id}': column '{name}' has {len(column)} rows, prediction_ids {size}"
            )
    limits = {"batch_id": (batch.batch_id, 80), "endpoint": (batch.endpoint, 63), "model": (batch.model, 63),
              "artifact_digest": (batch.artifact_digest, 80), "artifact_uri": (batch.artifact_uri, 1000)}  # fmt: skip
    for name, (text, limit) in limits.items():
        if len(text) > limit or (not text and name in ("batch_id", "endpoint", "model")):
            raise InvalidInputError(f"{name} must have 1 to {limit} characters, not {len(text)}")
    if any(len(prediction_id) > 64 or not prediction_id for prediction_id in batch.prediction_ids):
        raise InvalidInputError(f"batch '{batch.batch_id}': a prediction id must have 1 to 64 characters")
    if batch.version < 0 or (size and min(batch.rows) < 0):
        raise InvalidInputError(f"batch '{batch.batch_id}': version and rows count from 0 upwards")


def split_by_minute(
    batch: PredictionBatch, *, oldest_s: float, now_s: float, max_features: int
) -> Iterator[MinuteContent]:
    """Give the batch's minutes; rows before `oldest_s` are left out, times ahead of `now_s` are taken as now."""
    times = np.array(batch.times_s, dtype=np.float64)
    times = np.where(np.isfinite(times) & (times <= now_s + MAX_CLOCK_AHEAD_S), times, now_s)
    columns = _Columns(batch, times, max_features)
    minutes = (times // MINUTE_S).astype(np.int64)
    minutes[times < oldest_s] = -1
    for minute in np.unique(minutes[minutes >= 0]).tolist():
        chosen = minutes == minute
        yield MinuteContent(minute=minute, content=columns.content(chosen), predictions=columns.predictions(chosen))


class _Columns:
    """The batch's columns as arrays of shape (rows,)."""

    def __init__(self, batch: PredictionBatch, times: Array, max_features: int) -> None:
        self._batch = batch
        self._times = times
        self._statuses = np.array(batch.http_statuses, dtype=np.int64)
        self._is_request = np.array(batch.rows, dtype=np.int64) == 0
        self._latencies = np.array(batch.latencies_ms, dtype=np.float64)
        self._numbers = _numbers(dict(list(batch.numeric_features.items())[:max_features]))
        left = max_features - len(self._numbers)
        self._categories = {n: _texts(c) for n, c in list(batch.category_features.items())[:left]}
        self._labels = _texts(batch.predicted_labels)
        self._outputs = _numbers({"confidence": batch.confidences, "value": batch.predicted_values})

    def content(self, chosen: Array) -> WindowContent:
        """Return counts and sketches of the chosen rows, mask of shape (rows,)."""
        is_answered = chosen & (self._statuses < 400)
        is_request = chosen & self._is_request
        latencies = self._latencies[is_answered & is_request]
        content = WindowContent(
            rows=int(is_answered.sum()),
            requests=int(is_request.sum()),
            errors=int((is_request & (self._statuses >= 500)).sum()),
            rejected=int((is_request & (self._statuses >= 400) & (self._statuses < 500)).sum()),
            profile=self._profile(is_answered),
        )
        if latencies.size:
            content.latency.update(latencies[np.isfinite(latencies)])
        if "confidence" in self._outputs:
            known = self._outputs["confidence"][is_answered]
            content.confidence_sum = float(np.nansum(known))
            content.confidence_count = int(np.isfinite(known).sum())
        return content

    def predictions(self, chosen: Array) -> list[PredictionRow]:
        """Return the answered rows of the chosen ones, for the index."""
        batch = self._batch
        places = np.flatnonzero(chosen & (self._statuses < 400)).tolist()
        nothing = [None] * len(batch.rows)
        labels = self._labels or nothing
        confidences, values = batch.confidences or nothing, batch.predicted_values or nothing
        return [
            (batch.prediction_ids[i], batch.rows[i], datetime.fromtimestamp(self._times[i], tz=UTC),
             labels[i], confidences[i], values[i])
            for i in places
        ]  # fmt: skip

    def _profile(self, chosen: Array) -> DataProfile:
        if not chosen.any():
            return DataProfile()
        places = np.flatnonzero(chosen).tolist()
        features: dict[str, FeatureProfile] = {name: _profile_numbers(c[chosen]) for name, c in self._numbers.items()}
        features |= {name: _profile_texts(column, places) for name, column in self._categories.items()}
        outputs: dict[str, FeatureProfile] = {name: _profile_numbers(c[chosen]) for name, c in self._outputs.items()}
        if self._labels:
            outputs["label"] = _profile_texts(self._labels, places)
        return DataProfile(rows=len(places), features=features, outputs=outputs)


def _numbers(columns: Mapping[str, Sequence[float | None]]) -> dict[str, Array]:
    return {name: np.array(column, dtype=np.float64) for name, column in columns.items() if column}


def _texts(column: Sequence[str | None]) -> list[str | None]:
    return [text if text is None else text[:MAX_TEXT] for text in column]


def _profile_numbers(values: Array) -> NumericProfile:
    profile = NumericProfile()
    profile.update(values)
    return profile


def _profile_texts(column: list[str | None], places: list[int]) -> CategoryProfile:
    counts = Counter(column[i] for i in places)
    profile = CategoryProfile(missing=counts.pop(None, 0))
    profile.add_counts({text: count for text, count in counts.items() if text is not None})
    return profile
