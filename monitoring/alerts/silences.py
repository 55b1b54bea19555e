"""Silences: which alerts must disturb nobody, from when to when, and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction

from aiplatform.errors import ConflictError, InvalidInputError
from monitoring.alerts.matchers import Matcher, all_match, parse_matcher
from monitoring.alerts.timeline import add_event
from monitoring.alerts.vocabulary import ACTIVE_STATES, EventKind
from monitoring.models.alerts import Alert, Silence

LONGEST_S = 365 * 24 * 3600


def find_silence(alert: Alert, now: datetime) -> Silence | None:
    """Return the silence that holds for an alert now; one that holds actions goes first."""
    active = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("-holds_actions", "-ends_at")
    return next((silence for silence in active if all_match(silence.matchers, alert.labels)), None)


def create_silence(
    *,
    created_by: str,
    reason: str,
    matchers: Sequence[str],
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
    holds_actions: bool = True,
) -> Silence:
    """Make a silence and mark the alerts that it covers.

    Raises: InvalidInputError if a field breaks a rule.
    """
    silence = Silence(
        matchers=list(matchers), starts_at=starts_at, ends_at=ends_at, reason=reason, created_by=created_by,
        holds_actions=holds_actions,
    )  # fmt: skip
    return save_silence(silence, now=now)


def save_silence(silence: Silence, *, now: datetime) -> Silence:
    """Write a silence, new or changed, and mark the alerts that it covers.

    Raises: InvalidInputError if a field breaks a rule.
    """
    try:
        silence.full_clean()
    except ValidationError as error:
        raise InvalidInputError("; ".join(error.messages), fields=error.message_dict) from error
    silence.matchers = [str(parse_matcher(text)) for text in silence.matchers]
    with transaction.atomic():
        silence.save()
        mark_active_alerts(now=now, actor=silence.created_by)
    return silence


def silence_alert(alert: Alert, *, by: str, reason: str, duration_s: float, now: datetime) -> Silence:
    """Silence an alert's rule on its endpoint, all versions, from now on.

    Raises: InvalidInputError if the duration is not from 1 s to a year.
    """
    if not 1 <= duration_s <= LONGEST_S:
        raise InvalidInputError(f"duration_s must be from 1 to {LONGEST_S}, not {duration_s:g}")
    matchers = [str(Matcher(name, "=", alert.labels[name])) for name in ("alertname", "endpoint")]
    return create_silence(
        created_by=by, reason=reason, starts_at=now, ends_at=now + timedelta(seconds=duration_s), now=now,
        matchers=matchers,
    )  # fmt: skip


def end_silence(silence: Silence, *, by: str, now: datetime) -> Silence:
    """End a silence now, or before it began.

    Raises: ConflictError if it is over.
    """
    if silence.ends_at <= now:
        raise ConflictError(f"silence {silence.pk} ended at {silence.ends_at:%Y-%m-%d %H:%M:%S} UTC")
    with transaction.atomic():
        silence.ends_at = now
        silence.starts_at = min(silence.starts_at, now - timedelta(seconds=1))
        silence.save(update_fields=["starts_at", "ends_at"])
        mark_active_alerts(now=now, actor=by)
    return silence


def mark_active_alerts(*, now: datetime, actor: str = "") -> None:
    """Set the mark of every active alert to what holds now."""
    for alert in Alert.objects.filter(state__in=ACTIVE_STATES).select_related("silence"):
        mark_alert(alert, find_silence(alert, now), now=now, actor=actor)


def mark_alert(alert: Alert, silence: Silence | None, *, now: datetime, actor: str = "") -> None:
    """Set one alert's mark, and tell its timeline if silence began or ended."""
    before = alert.silence_id
    if before == (silence.pk if silence else None):
        return
    alert.silence = silence
    alert.save(update_fields=["silence"])
    if silence is None:
        add_event(alert, EventKind.UNSILENCED, at=now, actor=actor)
    elif before is None:
        text = f"until {silence.ends_at:%Y-%m-%d %H:%M} UTC: {silence.reason}"
        add_event(alert, EventKind.SILENCED, at=now, text=text, actor=silence.created_by)
