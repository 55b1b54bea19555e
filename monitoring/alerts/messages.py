"""What a notification says: what was measured, the threshold, where, since when, and a link."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings

from aiplatform.errors import InvalidInputError
from monitoring.alerts.durations import duration_text
from monitoring.alerts.judgement import format_number
from monitoring.alerts.templates import render_template
from monitoring.alerts.vocabulary import AlertState, NotificationKind
from monitoring.models.alerts import Alert, Channel

_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
_HEADS = {
    NotificationKind.REPEAT: "STILL FIRING",
    NotificationKind.ESCALATION: "ESCALATION",
    NotificationKind.ACTION: "ACTION",
}
SHOWN = 20  # alerts of a group that a message lists
TITLE_LENGTH = 300


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, in plain text. `problem`: what was wrong with the channel's own template."""

    title: str
    body: str
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class MessageContent:
    """What a message tells of. `labels` are those that all its alerts share."""

    kind: NotificationKind
    firing: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    now: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Return all alerts, those that fire first."""
        return (*self.firing, *self.resolved)


def render_message(content: MessageContent, channel: Channel | None = None) -> Message:
    """Return the message in the channel's own form; in the platform's where that fails, with the reason."""
    title, body, problem = _title(content), _body(content), ""
    if channel and (channel.title_template or channel.body_template):
        values = template_values(content)
        try:
            own_title = render_template(channel.title_template, values) if channel.title_template else title
            own_body = render_template(channel.body_template, values) if channel.body_template else body
            title, body = own_title, own_body
        except InvalidInputError as error:
            problem = error.message
    return Message(title=" ".join(title.split())[:TITLE_LENGTH], body=body.strip(), problem=problem)


def template_values(content: MessageContent) -> dict[str, Any]:
    """Return what a channel's template can name: plain values only."""
    return {
        "status": "firing" if content.firing else "resolved",
        "kind": content.kind.value,
        "note": content.note,
        "count": len(content.firing),
        "labels": _common_labels(content.alerts),
        "firing": [_plain(alert) for alert in content.firing[:SHOWN]],
        "resolved": [_plain(alert) for alert in content.resolved[:SHOWN]],
        "title": _title(content),
        "text": _body(content),
        "console": settings.CONSOLE_URL.rstrip("/"),
    }


def alert_link(alert: Alert) -> str:
    """Return the address of an alert's page. The console may be another process, so no reverse()."""
    return f"{settings.CONSOLE_URL.rstrip('/')}/admin/monitoring/alert/{alert.pk}/change/"


def render_text(template: str, values: Mapping[str, str]) -> str:
    """Fill in {name} for the names known; anything else stays as it is."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), template)


def _common_labels(alerts: tuple[Alert, ...]) -> dict[str, str]:
    """Return the labels that all the alerts have alike."""
    first, *rest = (alert.labels for alert in alerts)
    return {name: value for name, value in first.items() if all(labels.get(name) == value for labels in rest)}


def _title(content: MessageContent) -> str:
    if len(content.alerts) == 1:
        [alert] = content.alerts
        head = _HEADS.get(content.kind, "FIRING" if content.firing else "RESOLVED")
        return f"[{head}] {alert.severity}: {alert.rule_name} on {alert.endpoint} version {alert.version}"
    counts = [f"FIRING: {len(content.firing)}"] if content.firing else []
    counts += [f"RESOLVED: {len(content.resolved)}"] if content.resolved else []
    head = f"{_HEADS[content.kind]}, " if content.kind in _HEADS else ""
    shared = ", ".join(f"{name} {value}" for name, value in content.labels.items() if value)
    return f"[{head}{', '.join(counts)}] {shared or 'alerts of several rules'}"


def _body(content: MessageContent) -> str:
    parts = [content.note] if content.note else []
    parts += [_story(alert, content) for alert in content.alerts[:SHOWN]]
    more = len(content.alerts) - SHOWN
    parts += [f"and {more} more: {settings.CONSOLE_URL.rstrip('/')}/admin/monitoring/alert/"] if more > 0 else []
    return "\n\n".join(parts)


def _story(alert: Alert, content: MessageContent) -> str:
    head = []
    if len(content.alerts) > 1:
        state = "RESOLVED" if alert.state == AlertState.RESOLVED else "FIRING"
        head = [f"{state}: {alert.rule_name} on {alert.endpoint} version {alert.version}"]
    elif alert.state == AlertState.RESOLVED:
        head = [f"Resolved{f' by {alert.resolved_by}' if alert.resolved_by else ''}: {_last_word(alert)}"]
    lines = [*head, alert.summary, alert.message, *_facts(alert)]
    return "\n".join(line for line in lines if line)


def _last_word(alert: Alert) -> str:
    event = alert.events.filter(kind="resolved").last()
    return event.text if event else "its condition no longer holds"


def _facts(alert: Alert) -> list[str]:
    since = alert.fired_at or alert.started_at
    facts = {
        "Condition": alert.condition,
        "Feature": alert.feature,
        "Measured": (
            f"{alert.measured_name} = {format_number(alert.value)} on {alert.samples} samples "
            f"over {duration_text(alert.window_s)}"
        ),
        "Firing since": f"{since:%Y-%m-%d %H:%M:%S} UTC",
        "Resolved": f"{alert.resolved_at:%Y-%m-%d %H:%M:%S} UTC" if alert.resolved_at else "",
        "Acknowledged by": alert.acknowledged_by,
        **alert.annotations,
        "Details": alert_link(alert),
    }
    return [f"{name}: {text}" for name, text in facts.items() if text]


def _plain(alert: Alert) -> dict[str, Any]:
    """Return an alert as templates see it: texts, numbers and times, nothing that can be called."""
    return {
        "id": alert.pk,
        "rule": alert.rule_name,
        "endpoint": alert.endpoint,
        "version": alert.version,
        "metric": alert.metric,
        "feature": alert.feature,
        "severity": str(alert.severity),
        "state": str(alert.state),
        "value": format_number(alert.value),
        "threshold": format_number(alert.threshold),
        "samples": alert.samples,
        "condition": alert.condition,
        "summary": alert.summary,
        "message": alert.message,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "started_at": alert.started_at,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "acknowledged_by": alert.acknowledged_by,
        "link": alert_link(alert),
    }
