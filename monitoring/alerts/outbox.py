"""Writes messages into the outbox, in the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitoring.alerts.messages import MessageContent, render_message
from monitoring.alerts.vocabulary import AlertState, ChannelKind, NotificationKind, Severity
from monitoring.models.alerts import Alert, AlertGroup, Channel, Notification

_ORDER = list(Severity)


def enqueue_group(
    group: AlertGroup, channels: Sequence[Channel], kind: NotificationKind, *, firing: list[Alert],
    resolved: list[Alert], now: datetime, note: str = "",
) -> int:  # fmt: skip
    """Write a message about a group's alerts for each channel; return how many."""
    content = MessageContent(
        kind=kind, firing=tuple(firing), resolved=tuple(resolved), labels=group.labels, now=now, note=note
    )
    return _write(content, channels, stream=f"group:{group.pk}", group=group)


def enqueue_alert(
    alert: Alert, channels: Sequence[Channel], kind: NotificationKind, *, now: datetime, note: str
) -> int:
    """Write a message about one alert by itself, outside any group; return how many."""
    is_over = alert.state == AlertState.RESOLVED
    content = MessageContent(
        kind=kind, firing=() if is_over else (alert,), resolved=(alert,) if is_over else (), labels=alert.labels,
        now=now, note=note,
    )  # fmt: skip
    return _write(content, channels, stream=f"alert:{alert.pk}", group=None)


def _write(content: MessageContent, channels: Sequence[Channel], *, stream: str, group: AlertGroup | None) -> int:
    alerts = [*content.firing, *content.resolved]
    stamp = int(content.now.timestamp() * 1000)
    written = 0
    for channel in channels:
        if channel.kind != ChannelKind.APPRISE:  # an Alertmanager is pushed to, and groups by itself
            continue
        message = render_message(content, channel)
        row = Notification.objects.create(
            alert=alerts[0], group=group, channel=channel, kind=content.kind, stream=stream,
            key=f"{stream}:{channel.pk}:{content.kind.value}:{stamp}", tone=_tone(content),
            title=message.title, body=message.body, next_attempt_at=content.now, created_at=content.now,
            last_error=message.problem,
        )  # fmt: skip
        row.alerts.set(alerts)
        written += 1
    if written:
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(notified_at=content.now)
    return written


def _tone(content: MessageContent) -> str:
    if not content.firing:
        return "success"
    worst = min((_ORDER.index(Severity(alert.severity)) for alert in content.firing), default=len(_ORDER) - 1)
    return {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}[_ORDER[worst]]
