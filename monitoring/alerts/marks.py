"""What people do to an alert: take it on, or call it over."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from aiplatform.errors import ConflictError
from monitoring.alerts.timeline import TEXT_LENGTH, add_event
from monitoring.alerts.transitions import close_alert
from monitoring.alerts.vocabulary import ACTIVE_STATES, EventKind
from monitoring.models.alerts import Alert


def acknowledge_alert(alert: Alert, *, by: str, note: str = "", now: datetime) -> Alert:
    """Say that somebody takes an alert on: it is not repeated. A second note replaces the first.

    Raises: ConflictError if it is over.
    """
    with transaction.atomic():
        changed = Alert.objects.filter(pk=alert.pk, state__in=ACTIVE_STATES).update(
            acknowledged_at=now, acknowledged_by=by, acknowledgement_note=note[:TEXT_LENGTH]
        )
        if not changed:
            raise ConflictError(f"alert {alert.pk} is resolved; there is nothing to acknowledge")
        add_event(alert, EventKind.ACKNOWLEDGED, at=now, text=note, actor=by)
    alert.refresh_from_db()
    return alert


def resolve_alert(alert: Alert, *, by: str, note: str = "", now: datetime) -> Alert:
    """End an alert by hand. If its condition still holds, a new one begins with the next evaluation.

    Raises: ConflictError if it is over.
    """
    if not close_alert(alert, now=now, text=note or "resolved by hand", by=by):
        raise ConflictError(f"alert {alert.pk} is resolved already")
    alert.refresh_from_db()
    return alert
