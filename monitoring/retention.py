"""Forgets what is old, a little at a time so that nothing waits long for a lock."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum

from monitoring.cover import Horizons, floor_time
from monitoring.models import (
    Baseline,
    DetectedChange,
    Feedback,
    IngestedBatch,
    ObservedWindow,
    PerformanceWindow,
    PredictionBlock,
    ServedVersion,
    Window,
)
from monitoring.rollup import NEXT

CHUNK = 500
HORIZON_MARGIN = timedelta(days=1)  # a reader may have looked at the clock a while ago
MAX_CHUNKS = 400  # of each kind in one run; the clock comes again
log = structlog.get_logger(__name__)


def clean_up(*, now: datetime | None = None) -> dict[str, int]:
    """Remove what has outlived its setting; return how many rows of each kind went.

    Batch ids live as long as windows: an older batch has no window left to be counted in twice.
    """
    now = now or datetime.now(UTC)
    oldest_window = now - timedelta(days=settings.WINDOW_RETENTION_DAYS)
    oldest_prediction = now - timedelta(days=settings.PREDICTION_RETENTION_DAYS)
    oldest_pending = now - timedelta(hours=settings.PENDING_FEEDBACK_HOURS)
    blocks = PredictionBlock.objects.filter(time__lt=oldest_prediction)
    removed = {
        "prediction_blocks": _remove(blocks) + _remove_surplus_blocks(settings.PREDICTION_RETENTION_ROWS),
        "feedback": _remove(Feedback.objects.filter(block=None, is_pending=False)),
        "pending_feedback": _remove(Feedback.objects.filter(is_pending=True, received_at__lt=oldest_pending)),
        "windows": _remove(Window.objects.filter(start__lt=oldest_window)),
        "performance_windows": _remove(PerformanceWindow.objects.filter(start__lt=oldest_window)),
        "observed_windows": _remove(ObservedWindow.objects.filter(start__lt=oldest_window)),
        "changes": _remove(DetectedChange.objects.filter(detected_at__lt=oldest_window)),
        "minutes": _remove_rolled_up(Window.Resolution.MINUTE, Horizons.at(now).minutes - HORIZON_MARGIN),
        "hours": _remove_rolled_up(Window.Resolution.HOUR, Horizons.at(now).hours - HORIZON_MARGIN),
        "batches": _remove(IngestedBatch.objects.filter(received_at__lt=oldest_window)),
        "versions": _remove(ServedVersion.objects.filter(last_seen_at__lt=oldest_window, windows=None)),
    }
    known = ServedVersion.objects.values("artifact_digest")
    removed["baselines"] = _remove(
        Baseline.objects.exclude(artifact_digest__in=known).filter(checked_at__lt=oldest_window)
    )
    if any(removed.values()):
        log.info("monitoring_cleaned", **removed)
    return removed


def _remove_surplus_blocks(kept: int) -> int:
    """Remove the oldest blocks until no more than `kept` rows are left, or only the latest block."""
    blocks = PredictionBlock.objects.order_by("time", "pk")
    surplus = (blocks.aggregate(rows=Sum("rows"))["rows"] or 0) - kept
    if surplus <= 0:
        return 0
    keys = []
    latest = blocks.reverse().values_list("pk", flat=True)[:1]
    for key, rows in blocks.exclude(pk__in=list(latest)).values_list("pk", "rows")[: CHUNK * MAX_CHUNKS]:
        keys.append(key)
        surplus -= rows
        if surplus <= 0:
            break
    for start in range(0, len(keys), CHUNK):
        _delete(PredictionBlock.objects.filter(pk__in=keys[start : start + CHUNK]))
    return len(keys)


def _remove_rolled_up(resolution: int, before: datetime) -> int:
    """Remove minutes (or hours) that are counted in their hour (or day), which keeps their single predictions."""
    coarse = NEXT[resolution]
    old = Window.objects.filter(resolution=resolution, is_rolled_up=True, start__lt=before)
    groups: dict[tuple[int, datetime], list[int]] = defaultdict(list)
    for pk, served, start in old.order_by("start").values_list("pk", "served", "start")[: CHUNK * MAX_CHUNKS // 10]:
        groups[(served, floor_time(start, coarse))].append(pk)
    return sum(_replace(keys, served, start, coarse) for (served, start), keys in groups.items())


@transaction.atomic
def _replace(keys: list[int], served: int, start: datetime, resolution: int) -> int:
    coarse = Window.objects.filter(served=served, resolution=resolution, start=start).order_by("is_rolled_up")
    target = coarse.select_for_update().last()
    if target is None:  # just merged into another; the clock comes again
        return 0
    PredictionBlock.objects.filter(window__in=keys).update(window=target)
    _delete(Window.objects.filter(pk__in=keys))
    return len(keys)


def _remove(rows: QuerySet[Any]) -> int:
    removed = 0
    for _ in range(MAX_CHUNKS):
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK])
        if keys:
            _delete(rows.model._default_manager.filter(pk__in=keys))
        removed += len(keys)
        if len(keys) < CHUNK:
            break
    return removed


def _delete(rows: QuerySet[Any]) -> None:
    rows.only("pk").delete()  # a block's content need not be read to be removed
