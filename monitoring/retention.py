"""Forgets what is old, a little at a time so that nothing waits long for a lock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Max, Min, QuerySet

from monitoring.models import Baseline, Feedback, IngestedBatch, Prediction, ServedVersion, Window

CHUNK = 500
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
    surplus = _oldest_surplus_prediction(settings.PREDICTION_RETENTION_ROWS)
    removed = {
        "feedback": _remove(Feedback.objects.filter(prediction__time__lt=oldest_prediction))
        + _remove(Feedback.objects.filter(prediction__pk__lte=surplus))
        + _remove(Feedback.objects.filter(prediction=None, is_pending=False)),
        "pending_feedback": _remove(Feedback.objects.filter(is_pending=True, received_at__lt=oldest_pending)),
        "predictions": _remove(Prediction.objects.filter(time__lt=oldest_prediction))
        + _remove(Prediction.objects.filter(pk__lte=surplus)),
        "windows": _remove(Window.objects.filter(start__lt=oldest_window)),
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


def _oldest_surplus_prediction(kept: int) -> int:
    """Return the key up to which predictions are too many; keys grow with time and have few gaps."""
    keys = Prediction.objects.aggregate(least=Min("pk"), greatest=Max("pk"))
    if keys["greatest"] is None or keys["greatest"] - keys["least"] < kept:
        return 0
    return int(keys["greatest"]) - kept


def _remove(rows: QuerySet[Any]) -> int:
    removed = 0
    for _ in range(MAX_CHUNKS):
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK])
        if keys:
            rows.model._default_manager.filter(pk__in=keys).delete()
        removed += len(keys)
        if len(keys) < CHUNK:
            break
    return removed
