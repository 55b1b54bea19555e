"""Turns prediction events into the columns that monitoring takes, many rows at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog

from aiplatform.contracts.monitoring import PredictionBatch
from aiplatform.features import extract_features, summarise_predictions
from inference.recording_api import Arrays, PredictionEvent

log = structlog.get_logger(__name__)

CHUNK_BYTES = 8 * 1024 * 1024  # of inputs stacked at once, so that large images need no large copy

Column = list[Any]


@dataclass(frozen=True)
class _Part:
    """Consecutive rows that were computed together; a column that is absent is all None."""

    events: Sequence[PredictionEvent]
    sizes: Sequence[int]  # rows of each event
    numbers: Mapping[str, Column]
    categories: Mapping[str, Column]
    labels: Column | None = None
    confidences: Column | None = None
    values: Column | None = None

    @property
    def row_count(self) -> int:
        return sum(self.sizes)


def build_batches(events: Sequence[PredictionEvent], *, replica: str, max_rows: int) -> list[PredictionBatch]:
    """Return batches of about `max_rows` rows, each of one artifact, in the order of arrival."""
    batches = []
    for group in _split(events, key=_artifact_of):
        for some in _cut(group, max_rows):
            parts = [_compute(chunk) for same in _split(some, key=_shape_of) for chunk in _chunks(same)]
            batches.append(_assemble(parts, replica))
    return batches


def event_rows(event: PredictionEvent) -> int:
    """Return how many rows an event stands for; a failed one is one row."""
    if not event.inputs:
        return 1
    return max(1, len(next(iter(event.inputs.values()))))


def event_bytes(event: PredictionEvent) -> int:
    """Return about how much memory an event holds."""
    arrays = [*(event.inputs or {}).values(), *(event.outputs or {}).values()]
    return 512 + sum(array.nbytes for array in arrays)


def _artifact_of(event: PredictionEvent) -> tuple[Any, ...]:
    return event.endpoint, event.model, event.version, event.artifact_digest


def _shape_of(event: PredictionEvent) -> tuple[Any, ...]:
    arrays = [*(event.inputs or {}).items(), *(event.outputs or {}).items()]
    return tuple((name, array.shape[1:], array.dtype.str) for name, array in arrays)


def _split(events: Iterable[PredictionEvent], key: Any) -> list[list[PredictionEvent]]:
    groups: dict[Any, list[PredictionEvent]] = {}
    for event in events:
        groups.setdefault(key(event), []).append(event)
    return list(groups.values())


def _cut(events: Sequence[PredictionEvent], max_rows: int) -> Iterable[list[PredictionEvent]]:
    some: list[PredictionEvent] = []
    rows = 0
    for event in events:
        if some and rows + event_rows(event) > max_rows:
            yield some
            some, rows = [], 0
        some.append(event)
        rows += event_rows(event)
    if some:
        yield some


def _chunks(events: Sequence[PredictionEvent]) -> Iterable[list[PredictionEvent]]:
    some: list[PredictionEvent] = []
    size = 0
    for event in events:
        if some and size + event_bytes(event) > CHUNK_BYTES:
            yield some
            some, size = [], 0
        some.append(event)
        size += event_bytes(event)
    if some:
        yield some


def _compute(events: Sequence[PredictionEvent]) -> _Part:
    sizes = [event_rows(event) for event in events]
    try:
        return _compute_answered(events, sizes) if events[0].inputs else _Part(events, sizes, {}, {})
    except Exception:  # the count and the latency of a request are kept whatever its arrays hold
        log.exception("features_not_extracted", endpoint=events[0].endpoint, version=events[0].version)
        return _Part(events, sizes, {}, {})


def _compute_answered(events: Sequence[PredictionEvent], sizes: Sequence[int]) -> _Part:
    features = extract_features(_stack([event.inputs or {} for event in events]))
    numbers = {name: column.tolist() for name, column in features.items() if column.dtype.kind == "f"}
    categories = {name: column.tolist() for name, column in features.items() if column.dtype.kind != "f"}
    outputs = _stack([event.outputs or {} for event in events])
    if not outputs:
        return _Part(events, sizes, numbers, categories)
    summary = summarise_predictions(outputs, events[0].labels)
    return _Part(events, sizes, numbers, categories, summary.labels, summary.confidences, summary.values)


def _stack(rows: Sequence[Arrays]) -> Arrays:
    if len(rows) == 1:
        return rows[0]
    return {name: np.concatenate([arrays[name] for arrays in rows]) for name in rows[0]}


def _assemble(parts: Sequence[_Part], replica: str) -> PredictionBatch:
    pairs = [(event, size) for part in parts for event, size in zip(part.events, part.sizes, strict=True)]
    first = pairs[0][0]
    return PredictionBatch(
        batch_id=uuid.uuid4().hex,
        replica=replica,
        endpoint=first.endpoint,
        model=first.model,
        version=first.version,
        artifact_uri=first.artifact_uri,
        artifact_digest=first.artifact_digest,
        prediction_ids=tuple(event.prediction_id for event, size in pairs for _ in range(size)),
        rows=tuple(row for _, size in pairs for row in range(size)),
        times_s=tuple(event.time_s for event, size in pairs for _ in range(size)),
        latencies_ms=tuple(event.latency_ms for event, size in pairs for _ in range(size)),
        http_statuses=tuple(event.http_status for event, size in pairs for _ in range(size)),
        numeric_features=_merge(parts, [part.numbers for part in parts]),
        category_features=_merge(parts, [part.categories for part in parts]),
        predicted_labels=_join(parts, [part.labels for part in parts]),
        confidences=_join(parts, [part.confidences for part in parts]),
        predicted_values=_join(parts, [part.values for part in parts]),
    )


def _merge(parts: Sequence[_Part], columns: Sequence[Mapping[str, Column]]) -> dict[str, tuple[Any, ...]]:
    names = dict.fromkeys(name for some in columns for name in some)
    return {name: _join(parts, [some.get(name) for some in columns]) for name in names}


def _join(parts: Sequence[_Part], columns: Sequence[Column | None]) -> tuple[Any, ...]:
    if all(column is None for column in columns):
        return ()
    joined: Column = []
    for part, column in zip(parts, columns, strict=True):
        joined.extend([None] * part.row_count if column is None else column)
    return tuple(joined)
