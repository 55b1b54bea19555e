"""A message of an invented group of alerts, to look at a channel's templates before they are needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitoring.alerts.messages import Message, MessageContent, render_message
from monitoring.alerts.vocabulary import AlertState, Comparison, NotificationKind, Severity
from monitoring.models.alerts import Alert, Channel

_NOW = datetime(2026, 1, 15, 12, 30, tzinfo=UTC)


def preview_message(title_template: str, body_template: str) -> Message:
    """Return what a channel with these templates would be sent; `problem` says what is wrong with them."""
    channel = Channel(name="preview", title_template=title_template, body_template=body_template)
    shared = {"alertname": "High error rate", "endpoint": "digits"}
    content = MessageContent(
        kind=NotificationKind.FIRING, firing=(_alert(3), _alert(4)), resolved=(), labels=shared, now=_NOW
    )
    return render_message(content, channel)


def _alert(version: int) -> Alert:
    return Alert(
        pk=version, rule_name="High error rate", endpoint="digits", version=version, metric="error_rate",
        comparison=Comparison.GT, threshold=0.05, window_s=300, severity=Severity.CRITICAL,
        condition="error_rate above 0.05 over 5 min", state=AlertState.FIRING, value=0.12, samples=840,
        labels={"alertname": "High error rate", "endpoint": "digits", "version": str(version), "severity": "critical"},
        summary=f"digits version {version} fails 0.12 of its requests", message="error_rate is 0.12, above 0.05",
        started_at=_NOW - timedelta(minutes=2), fired_at=_NOW - timedelta(minutes=1), annotations={},
    )  # fmt: skip
