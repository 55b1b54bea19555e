"""Keeps each Alertmanager channel in step with the alerts that go there.

A state is repeated, not a message sent: what an Alertmanager must know is worked out anew each time, so
a lost push, two clocks or a restart change nothing. Grouping, repetition and silences there are its own;
what is muted here is not pushed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, Q, QuerySet

from aiplatform.errors import PlatformError
from monitoring.alerts.alertmanager import alert_payload
from monitoring.alerts.metrics import PUSHES
from monitoring.alerts.muting import Muting
from monitoring.alerts.notifications import Backoff
from monitoring.alerts.routing import channels_of_alert
from monitoring.alerts.vocabulary import STANDING_STATES, ChannelKind, ToldState
from monitoring.models.alerts import Alert, AlertmanagerPush, Channel

log = structlog.get_logger(__name__)

Post = Callable[[str, Sequence[dict[str, Any]]], None]

REFRESH_S = 60.0  # an unchanged alert is told again
BELIEVED_S = 4 * REFRESH_S  # it ends by itself so long after the last push; Prometheus has the same ratio
RESOLVED_FOR = timedelta(minutes=15)  # an end is told until an Alertmanager took it, but not for longer


@dataclass(frozen=True)
class _Wanted:
    alert: Alert
    told: ToldState
    ends_at: datetime


def push_due_alerts(*, post: Post, clock: Callable[[], datetime], backoff: Backoff) -> int:
    """Tell every Alertmanager channel what it must know; return how many alerts were pushed."""
    now = clock()
    due = [channel for channel in _list_channels() if _is_due(channel, now, backoff)]
    if not due:
        return 0
    muting = Muting.read(now)
    pushed = 0
    for channel in due:
        wanted = _list_wanted(channel, muting, now)
        if wanted:
            pushed += _push(channel, wanted, post, now, backoff)
    return pushed


def list_channels_to_update() -> QuerySet[Channel]:
    """Return the channels that may have to be told of an alert: of one that stands, or that one has ended."""
    standing = Alert.objects.filter(state__in=STANDING_STATES)
    told = AlertmanagerPush.objects.filter(told=ToldState.FIRING)
    return _list_channels().filter(Exists(standing) | Exists(told))


def _list_channels() -> QuerySet[Channel]:
    return Channel.objects.filter(kind=ChannelKind.ALERTMANAGER, is_enabled=True)


def _is_due(channel: Channel, now: datetime, backoff: Backoff) -> bool:
    if channel.next_push_at is None:
        return True
    is_clock_back = (channel.next_push_at - now).total_seconds() > backoff.longest_s + 1
    return channel.next_push_at <= now or is_clock_back


def _list_wanted(channel: Channel, muting: Muting, now: datetime) -> list[_Wanted]:
    pushes = {push.alert_id: push for push in channel.pushes.all()}
    standing = list(Alert.objects.filter(state__in=STANDING_STATES).select_related("rule").order_by("pk"))
    wanted: list[_Wanted] = []
    for alert in standing:
        push = pushes.pop(alert.pk, None)
        if _is_fresh(push, now) or not _goes_to(alert, channel) or _reason(muting, alert):
            continue
        wanted.append(_Wanted(alert, ToldState.FIRING, now + timedelta(seconds=BELIEVED_S)))
    return wanted + _list_ended(pushes, {alert.fingerprint for alert in standing}, now)


def _list_ended(pushes: dict[int, AlertmanagerPush], standing: set[str], now: datetime) -> list[_Wanted]:
    told = [pk for pk, push in pushes.items() if push.told == ToldState.FIRING]
    recent = Alert.objects.filter(Q(pk__in=told), resolved_at__gt=now - RESOLVED_FOR).order_by("pk")
    return [
        _Wanted(alert, ToldState.RESOLVED, alert.resolved_at or now)
        for alert in recent
        if alert.fingerprint not in standing  # the same labels fire again: to Alertmanager it never ended
    ]


def _is_fresh(push: AlertmanagerPush | None, now: datetime) -> bool:
    return push is not None and 0 <= (now - push.pushed_at).total_seconds() < REFRESH_S


def _goes_to(alert: Alert, channel: Channel) -> bool:
    return channel.pk in {one.pk for one in channels_of_alert(alert, alert.rule)}


def _reason(muting: Muting, alert: Alert) -> str:
    return muting.reason(alert, alert.rule.quiet_hours.all() if alert.rule else ())


def _push(channel: Channel, wanted: list[_Wanted], post: Post, now: datetime, backoff: Backoff) -> int:
    try:
        post(channel.url, [alert_payload(one.alert, ends_at=one.ends_at) for one in wanted])
    except PlatformError as error:
        failures = channel.push_failures + 1
        pause = timedelta(seconds=backoff.delay_s(failures))
        Channel.objects.filter(pk=channel.pk).update(
            last_error=error.message, push_failures=failures, next_push_at=now + pause
        )
        PUSHES.labels("failed").inc()
        log.warning("alertmanager_push_failed", channel=channel.name, error=error.message)
        return 0
    with transaction.atomic():
        for one in wanted:
            AlertmanagerPush.objects.update_or_create(
                channel=channel, alert=one.alert,
                defaults={"told": one.told, "pushed_at": now, "ends_at": one.ends_at},
            )  # fmt: skip
        Channel.objects.filter(pk=channel.pk).update(
            last_error="", last_sent_at=now, push_failures=0, next_push_at=None
        )
    PUSHES.labels("sent").inc()
    return len(wanted)
