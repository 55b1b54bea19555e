"""Counts predictions: each batch once, however often it arrives, and each row in its own minute.

No step goes row by row: the single predictions of a batch and minute are one packed block.
One transaction a call. Batch ids are claimed first; whoever inserts an id counts the batch. Window
rows are locked in one order, so that writers of the same minutes wait for each other and add up.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction

from aiplatform.contracts.monitoring import IngestReceipt, PredictionBatch
from monitoring import metrics
from monitoring.batches import BatchColumns, MinuteContent, split_by_minute
from monitoring.blocks import BlockContent, pack_block
from monitoring.feedback import join_pending_feedback
from monitoring.models import IngestedBatch, ObservedWindow, PredictionBlock, ServedVersion, Window
from monitoring.performance.expectations import find_expectations
from monitoring.performance.observed import Observed, merge_observed, pack_observed, unpack_observed
from monitoring.store.tombstones import deleted_among
from monitoring.windows import INGESTED_FIELDS, WindowContent, lock_open_window, minute_start

SEEN_EVERY = timedelta(seconds=30)  # how exact `last_seen_at` is; each call writing it would be a hot row
log = structlog.get_logger(__name__)

VersionKey = tuple[str, str, int, str]  # endpoint, model, version, digest


def record_predictions(*, batches: Sequence[PredictionBatch], now: datetime | None = None) -> IngestReceipt:
    """Count the batches that are new. All or none: an error leaves nothing counted.

    Raises: InvalidInputError if a batch's columns do not fit together.
    """
    now = now or datetime.now(UTC)
    read = {batch.batch_id: _read_batch(batch, now) for batch in batches}
    with transaction.atomic():
        new = _claim_batches(sorted(read), now)
        _merge_batches([read[batch_id] for batch_id in sorted(new)], now)
    _count([read[batch_id] for batch_id in sorted(new)], duplicates=len(batches) - len(new))
    # Of repeated batches too: who sent them first may have been killed before this.
    join_pending_feedback(blocks=[part.block for batch in read.values() for part in batch.minutes if part.block])
    return IngestReceipt(accepted=len(new), duplicates=len(batches) - len(new))


@dataclass(frozen=True)
class _Read:
    """A batch that fits together, and what it says of each minute."""

    batch: PredictionBatch
    answered: int  # rows
    minutes: list[MinuteContent]


def _read_batch(batch: PredictionBatch, now: datetime) -> _Read:
    served = ServedVersion(
        endpoint=batch.endpoint, version=batch.version, artifact_uri=batch.artifact_uri,
        artifact_digest=batch.artifact_digest,
    )  # fmt: skip
    expectations = find_expectations(served) if batch.numeric_features or batch.category_features else None
    columns = BatchColumns(batch, max_features=settings.MAX_WATCHED_FEATURES, expectations=expectations)
    oldest = now - timedelta(days=settings.WINDOW_RETENTION_DAYS)
    minutes = list(split_by_minute(columns, oldest_s=oldest.timestamp(), now_s=now.timestamp()))
    return _Read(batch, int((columns.statuses < 400).sum()), minutes)


def _claim_batches(batch_ids: list[str], now: datetime) -> set[str]:
    claim = uuid.uuid4().hex
    rows = [IngestedBatch(batch_id=batch_id, claim=claim, received_at=now) for batch_id in batch_ids]
    IngestedBatch.objects.bulk_create(rows, ignore_conflicts=True)
    return set(IngestedBatch.objects.filter(claim=claim).values_list("batch_id", flat=True))


def _merge_batches(batches: list[_Read], now: datetime) -> None:
    contents: dict[tuple[int, int], WindowContent] = {}
    observed: dict[tuple[int, int], list[Observed]] = defaultdict(list)
    blocks: list[tuple[tuple[int, int], BlockContent]] = []
    served = _served_versions([read.batch for read in batches], now)
    for read in batches:
        for part in read.minutes:
            key = (served[_version_key(read.batch)], part.minute)
            known = contents.setdefault(key, part.content)
            if known is not part.content:
                known.merge(part.content)
            observed[key].append(part.observed)
            if part.block is not None:
                blocks.append((key, part.block))
    blocks = _without_deleted(blocks)
    windows = _lock_windows(sorted(contents))
    for key, window in windows.items():
        _add_to_window(window, contents[key])
    for key in sorted(observed):
        _add_observed(key, observed[key])
    PredictionBlock.objects.bulk_create([_new_block(windows[key].pk, block) for key, block in blocks])


def _without_deleted(
    blocks: list[tuple[tuple[int, int], BlockContent]],
) -> list[tuple[tuple[int, int], BlockContent]]:
    """Return the blocks without predictions that were deleted before they arrived."""
    gone = deleted_among(name for _, block in blocks for name in block.prediction_ids())
    if not gone:
        return blocks
    left = [(key, block.without(gone)) for key, block in blocks]
    return [(key, block) for key, block in left if block is not None]


def _new_block(window: int, block: BlockContent) -> PredictionBlock:
    return PredictionBlock(
        window_id=window, first_id=block.first_id, last_id=block.last_id, is_wide=block.is_wide,
        rows=len(block.keys), time=block.latest, content=pack_block(block),
    )  # fmt: skip


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
    # Few: a call rarely holds more than two minutes of one version.
    return {(served, minute): lock_open_window(served, minute_start(minute)) for served, minute in keys}


def _add_to_window(window: Window, content: WindowContent) -> None:
    if window.requests or window.rows:
        known = WindowContent.read_from(window)
        known.merge(content)
        content = known
    content.write_to(window)
    window.save(update_fields=INGESTED_FIELDS)


def _add_observed(key: tuple[int, int], parts: list[Observed]) -> None:
    """Add to the row beside a window; whoever does holds the window's lock."""
    row, _ = ObservedWindow.objects.get_or_create(served_id=key[0], start=minute_start(key[1]), resolution=60)
    row.content = pack_observed(merge_observed([unpack_observed(row.content), *parts]))
    row.save(update_fields=["content"])


def _count(batches: list[_Read], *, duplicates: int) -> None:
    metrics.DUPLICATE_BATCHES.inc(duplicates)
    for read in batches:
        batch = read.batch
        counted = sum(len(part.block.keys) for part in read.minutes if part.block)
        metrics.INGESTED_PREDICTIONS.labels(batch.endpoint, str(batch.version)).inc(counted)
        if read.answered > counted:
            metrics.EXPIRED_PREDICTIONS.inc(read.answered - counted)
            log.warning(
                "predictions_too_old", batch_id=batch.batch_id, endpoint=batch.endpoint, rows=read.answered - counted
            )
