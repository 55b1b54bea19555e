"""Old alerts go, with their timelines, notifications and actions."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitoring.alerts.groups import delete_empty_groups
from monitoring.alerts.vocabulary import AlertState
from monitoring.models.alerts import Alert, Silence


def delete_old_alerts(*, now: datetime, keep_days: float) -> int:
    """Delete what was resolved, and silences that ended, longer ago than `keep_days`; return how many alerts."""
    before = now - timedelta(days=keep_days)
    old = Alert.objects.filter(state=AlertState.RESOLVED, resolved_at__lt=before)
    count = old.count()
    old.delete()
    Silence.objects.filter(ends_at__lt=before).delete()
    delete_empty_groups(before=before)
    return count
