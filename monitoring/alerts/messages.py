"""What a notification says: what was measured, the threshold, where, since when, and a link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from monitoring.alerts.judgement import format_number
from monitoring.alerts.vocabulary import Comparison, NotificationKind
from monitoring.models.alerts import Alert

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_HEADS = {
    NotificationKind.FIRING: "FIRING",
    NotificationKind.REPEAT: "STILL FIRING",
    NotificationKind.RESOLVED: "RESOLVED",
    NotificationKind.ACTION: "ACTION",
}


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, in plain text."""

    title: str
    body: str


def alert_message(alert: Alert, kind: NotificationKind, *, now: datetime, note: str = "") -> Message:
    """Return the message that tells of an alert. `note` comes first, if there is one."""
    title = f"[{_HEADS[kind]}] {alert.severity}: {alert.rule_name} on {alert.endpoint} version {alert.version}"
    lines = [note, alert.summary, alert.message, "", *_facts(alert, now)]
    body = "\n".join(line for index, line in enumerate(lines) if line or index == 3)
    return Message(title=title[:300], body=body.strip())


def alert_link(alert: Alert) -> str:
    """Return the address of an alert's page. The console may be another process, so no reverse()."""
    return f"{settings.CONSOLE_URL.rstrip('/')}/admin/monitoring/alert/{alert.pk}/change/"


def render_text(template: str, values: Mapping[str, str]) -> str:
    """Fill in {name} for the names known; anything else stays as it is."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _facts(alert: Alert, now: datetime) -> list[str]:
    since = alert.fired_at or alert.started_at
    facts = {
        "Rule": alert.rule_name,
        "Endpoint": alert.endpoint,
        "Version": str(alert.version),
        "Feature": alert.feature,
        "Measured": f"{alert.metric} = {format_number(alert.value)} on {alert.samples} samples over {alert.window_s} s",
        "Threshold": f"{Comparison(alert.comparison).label} {format_number(alert.threshold)}",
        "Firing since": f"{since:%Y-%m-%d %H:%M:%S} UTC",
        "Resolved": f"{alert.resolved_at:%Y-%m-%d %H:%M:%S} UTC" if alert.resolved_at else "",
        **alert.annotations,
        "Details": alert_link(alert),
    }
    return [f"{name}: {text}" for name, text in facts.items() if text]
