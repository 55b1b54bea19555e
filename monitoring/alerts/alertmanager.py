"""Speaks to a Prometheus Alertmanager: POST /api/v2/alerts, as Prometheus itself does.

An alert is told again and again with an end in the near future, so that it ends there by itself should
the platform vanish; its end is told with the time at which it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from aiplatform.errors import InvalidInputError, UnavailableError
from monitoring.alerts.messages import alert_link
from monitoring.models.alerts import Alert

PATH = "/api/v2/alerts"
TIMEOUT_S = 10.0


def post_alerts(url: str, alerts: Sequence[dict[str, Any]]) -> None:
    """Tell an Alertmanager of alerts.

    Raises: UnavailableError with what it answered, without the address' secrets.
    """
    parts = urlsplit(url)
    try:
        answer = httpx.post(f"{url.rstrip('/')}{PATH}", json=list(alerts), timeout=TIMEOUT_S)
    except httpx.HTTPError as error:
        raise UnavailableError(f"{parts.hostname}:{parts.port or ''} {type(error).__name__}: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise UnavailableError(f"{parts.hostname} answered {answer.status_code}: {' '.join(answer.text.split())[:300]}")


def alert_payload(alert: Alert, *, ends_at: datetime) -> dict[str, Any]:
    """Return an alert as Alertmanager has it. Labels are its identity; what changes is in the annotations."""
    texts = {**alert.annotations, "summary": alert.summary or alert.rule_name, "description": alert.message}
    return {
        "labels": dict(alert.labels),
        "annotations": {name: text for name, text in texts.items() if text},
        "startsAt": (alert.fired_at or alert.started_at).isoformat(),
        "endsAt": ends_at.isoformat(),
        "generatorURL": alert_link(alert),
    }


def push_test_alert(url: str, *, by: str, now: datetime) -> None:
    """Tell of a test alert that ends after a minute.

    Raises: UnavailableError.
    """
    labels = {"alertname": "AiplatformTest", "severity": "info"}
    texts = {"summary": f"A test of this channel, asked for by {by}."}
    ends_at = now + timedelta(minutes=1)
    post_alerts(
        url,
        [{"labels": labels, "annotations": texts, "startsAt": now.isoformat(), "endsAt": ends_at.isoformat()}],
    )


def check_alertmanager_url(url: str) -> None:
    """Raise InvalidInputError unless the address is the base of an Alertmanager."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.query or parts.fragment:
        raise InvalidInputError("the address of an Alertmanager is http://host:9093 or https://..., without a query")


def mask_alertmanager_url(url: str) -> str:
    """Return the address without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path.rstrip('/')}"
