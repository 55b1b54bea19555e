"""Counts predictions: each batch once, however often it arrives, and each row in its own minute.

One transaction a call. Batch ids are claimed first; whoever inserts an id counts the batch. Window
rows are locked in one order, so that writers of the same minutes wait for each other and add up.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from aiplatform.contracts.monitoring import IngestReceipt, PredictionBatch
from monitoring import metrics
from monitoring.batches import MinuteContent, PredictionRow, check_batch, split_by_minute
from monitoring.feedback import join_pending_feedback
from monitoring.models import IngestedBatch, Prediction, ServedVersion, Window
from monitoring.windows import INGESTED_FIELDS, WindowContent, minute_start

SEEN_EVERY = timedelta(seconds=30)  # how exact `last_seen_at` is; each call writing it would be a hot row
log = structlog.get_logger(__name__)

VersionKey = tuple[str, str, int, str]  # endpoint, model, version, digest


def record_predictions(*, batches: Sequence[PredictionBatch], now: datetime | None = None) -> IngestReceipt:
    """Count the batches that are new. All or none: an error leaves nothing counted.

    Raises: InvalidInputError if a batch's columns do not fit together.
    """
    now = now or datetime.now(UTC)
    read = {batch.batch_id: (batch, _read_batch(batch, now)) for batch in batches}
    with transaction.atomic():
        new = _claim_batches(sorted(read), now)
        _merge_batches([read[batch_id] for batch_id in sorted(new)], now)
    fresh = [read[batch_id] for batch_id in sorted(new)]
    _count(fresh, duplicates=len(batches) - len(new))
    join_pending_feedback(prediction_ids={row[0] for _, minutes in fresh for m in minutes for row in m.predictions})
    return IngestReceipt(accepted=len(new), duplicates=len(batches) - len(new))


def _read_batch(batch: PredictionBatch, now: datetime) -> list[MinuteContent]:
    check_batch(batch)
    oldest = now - timedelta(days=settings.WINDOW_RETENTION_DAYS)
    return list(
        split_by_minute(
            batch, oldest_s=oldest.timestamp(), now_s=now.timestamp(), max_features=settings.MAX_WATCHED_FEATURES
        )
    )


def _claim_batches(batch_ids: list[str], now: datetime) -> set[str]:
    claim = uuid.uuid4().hex
    rows = [IngestedBatch(batch_id=batch_id, claim=claim, received_at=now) for batch_id in batch_ids]
    IngestedBatch.objects.bulk_create(rows, ignore_conflicts=True)
    return set(IngestedBatch.objects.filter(claim=claim).values_list("batch_id", flat=True))


def _merge_batches(batches: list[tuple[PredictionBatch, list[MinuteContent]]], now: datetime) -> None:
    contents: dict[tuple[int, int], WindowContent] = {}
    predictions: dict[tuple[int, int], list[PredictionRow]] = {}
    served = _served_versions([batch for batch, _ in batches], now)
    for batch, minutes in batches:
        for part in minutes:
            key = (served[_version_key(batch)], part.minute)
            predictions.setdefault(key, []).extend(part.predictions)
            known = contents.setdefault(key, part.content)
            if known is not part.content:
                known.merge(part.content)
    windows = _lock_windows(sorted(contents))
    for key, window in windows.items():
        _add_to_window(window, contents[key])
    _index_predictions((windows[key].pk, row) for key, rows in predictions.items() for row in rows)


def _version_key(batch: PredictionBatch) -> VersionKey:
    return batch.endpoint, batch.model, batch.version, batch.artifact_digest


def _served_versions(batches: list[PredictionBatch], now: datetime) -> dict[VersionKey, int]:
    found: dict[VersionKey, int] = {}
    for batch in sorted(batches, key=_version_key):
        if _version_key(batch) not in found:
            found[_version_key(batch)] = _served_version(batch, now)
    return found


def _served_version(batch: PredictionBatch, now: datetime) -> int:
    served, _ = ServedVersion.objects.get_or_create(
        endpoint=batch.endpoint,
        model=batch.model,
        version=batch.version,
        artifact_digest=batch.artifact_digest,
        defaults={"artifact_uri": batch.artifact_uri, "first_seen_at": now, "last_seen_at": now},
    )
    if served.last_seen_at < now - SEEN_EVERY:
        ServedVersion.objects.filter(pk=served.pk).update(last_seen_at=now, artifact_uri=batch.artifact_uri)
    return served.pk


def _lock_windows(keys: list[tuple[int, int]]) -> dict[tuple[int, int], Window]:
    wanted = [Window(served_id=served, start=minute_start(minute)) for served, minute in keys]
    Window.objects.bulk_create(wanted, ignore_conflicts=True)
    locked = {}
    for served, minute in keys:  # few: a call rarely holds more than two minutes of one version
        row = Window.objects.select_for_update().get(served_id=served, start=minute_start(minute))
        locked[(served, minute)] = row
    return locked


def _add_to_window(window: Window, content: WindowContent) -> None:
    if window.requests or window.rows:
        known = WindowContent.read_from(window)
        known.merge(content)
        content = known
    content.write_to(window)
    window.save(update_fields=INGESTED_FIELDS)


def _index_predictions(rows: Iterable[tuple[int, PredictionRow]]) -> None:
    Prediction.objects.bulk_create(
        [
            Prediction(
                window_id=window,
                prediction_id=row[0],
                row=row[1],
                time=row[2],
                label=row[3],
                confidence=row[4],
                value=row[5],
            )
            for window, row in rows
        ],
        ignore_conflicts=True,
    )


def _count(batches: list[tuple[PredictionBatch, list[MinuteContent]]], *, duplicates: int) -> None:
    metrics.DUPLICATE_BATCHES.inc(duplicates)
    for batch, minutes in batches:
        counted = sum(len(part.predictions) for part in minutes)
        metrics.INGESTED_PREDICTIONS.labels(batch.endpoint, str(batch.version)).inc(counted)
        sent = sum(1 for status in batch.http_statuses if status < 400)
        if sent > counted:
            metrics.EXPIRED_PREDICTIONS.inc(sent - counted)
            log.warning("predictions_too_old", batch_id=batch.batch_id, endpoint=batch.endpoint, rows=sent - counted)
