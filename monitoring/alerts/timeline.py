"""The timeline of an alert: what happened, when, by whom."""

from __future__ import annotations

from datetime import datetime

from monitoring.alerts.vocabulary import EventKind
from monitoring.models.alerts import Alert, AlertEvent

TEXT_LENGTH = 1000


def add_event(alert: Alert, kind: EventKind, *, at: datetime, text: str = "", actor: str = "") -> AlertEvent:
    """Add a line to an alert's timeline."""
    return AlertEvent.objects.create(alert=alert, kind=kind, at=at, text=text[:TEXT_LENGTH], actor=actor)
