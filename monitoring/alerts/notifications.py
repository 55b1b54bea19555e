"""The outbox: messages are written with the step that they tell of, and sent by a job of their own.

At least once: a process that dies between sending and noting it sends again after its claim ends.
Messages about one group reach a channel in order, so 'resolved' never overtakes 'firing'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from aiplatform.errors import ConflictError, PlatformError
from monitoring.alerts.metrics import NOTIFICATIONS
from monitoring.alerts.outbox import enqueue_alert
from monitoring.alerts.routing import channels_of_alert
from monitoring.alerts.timeline import add_event
from monitoring.alerts.vocabulary import EventKind, NotificationKind, NotificationState
from monitoring.models.alerts import Alert, AlertRule, Channel, Notification

log = structlog.get_logger(__name__)

CLAIM_S = 120.0  # longer than any delivery takes; then another sender may try
BATCH = 50
_UNFINISHED = (NotificationState.PENDING, NotificationState.SENDING)


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message on its way. `tone` is info, warning, failure or success, as Apprise has it.

    `attachment` is the path of a file, for channels that can carry one.
    """

    url: str
    title: str
    body: str
    tone: str
    attachment: str = ""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How often and when a message or an action is tried again."""

    attempts: int
    first_s: float = 5.0
    longest_s: float = 600.0

    def delay_s(self, attempts_made: int) -> float:
        """Return the pause after so many attempts: doubling, bounded."""
        return min(self.longest_s, self.first_s * 2.0 ** max(0, attempts_made - 1))


def enqueue_notifications(
    alert: Alert, rule: AlertRule | None, kind: NotificationKind, *, now: datetime, note: str = ""
) -> int:
    """Write a message about one alert by itself, at once; call it inside the step's transaction.

    What fires and resolves is told by its group; this is for what is news of itself, as an action's outcome is.
    """
    return enqueue_alert(alert, channels_of_alert(alert, rule), kind, now=now, note=note)


def send_due_notifications(
    *,
    deliver: Callable[[Delivery], None],
    clock: Callable[[], datetime],
    backoff: Backoff,
    budget_s: float = 30.0,
) -> int:
    """Send what is due, and return how many were sent. `deliver` raises a PlatformError on failure."""
    sent = 0
    stop_s = time.monotonic() + budget_s
    while time.monotonic() < stop_s:
        sent_now = 0
        for notification in _list_due(clock(), backoff):
            if time.monotonic() < stop_s and _claim(notification, clock()):
                sent_now += _attempt(notification, deliver, clock, backoff)
        sent += sent_now
        if not sent_now:  # what was sent may have made way for the next message about the same group
            break
    return sent


def list_unfinished_notifications() -> QuerySet[Notification]:
    """Return the notifications that are to be sent, or on their way."""
    return Notification.objects.filter(state__in=_UNFINISHED)


def retry_notification(notification: Notification, *, now: datetime) -> None:
    """Have a message that failed or was cancelled tried again, with all its attempts.

    Raises: ConflictError if it is on its way or was sent.
    """
    again = Notification.objects.filter(
        pk=notification.pk, state__in=[NotificationState.FAILED, NotificationState.CANCELLED]
    ).update(state=NotificationState.PENDING, attempts=0, next_attempt_at=now)
    if not again:
        state = notification.state
        raise ConflictError(f"notification {notification.pk} is '{state}'; only a failed one can be retried")


def _list_due(now: datetime, backoff: Backoff) -> Iterable[Notification]:
    # A time further away than any pause means that the clock went back.
    far = now + timedelta(seconds=max(backoff.longest_s, CLAIM_S) + 1)
    due: Q = Q(state=NotificationState.PENDING) & (Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=far))
    lost: Q = Q(state=NotificationState.SENDING) & (Q(claimed_until__lte=now) | Q(claimed_until__gt=far))
    earlier = list_unfinished_notifications().filter(
        stream=OuterRef("stream"), channel=OuterRef("channel"), pk__lt=OuterRef("pk")
    )
    rows: QuerySet[Notification] = Notification.objects.filter(due | lost).exclude(Exists(earlier))
    return rows.select_related("channel", "alert").order_by("pk")[:BATCH]


def _claim(notification: Notification, now: datetime) -> bool:
    claimed = Notification.objects.filter(
        pk=notification.pk, state=notification.state, attempts=notification.attempts
    ).update(
        state=NotificationState.SENDING,
        attempts=F("attempts") + 1,
        claimed_until=now + timedelta(seconds=CLAIM_S),
    )
    notification.attempts += 1
    return bool(claimed)


def _attempt(
    notification: Notification, deliver: Callable[[Delivery], None], clock: Callable[[], datetime], backoff: Backoff
) -> bool:
    channel = notification.channel
    if not channel.is_enabled:
        _finish(notification, NotificationState.CANCELLED, clock(), error=f"the channel '{channel.name}' is disabled")
        return False
    message = Delivery(url=channel.url, title=notification.title, body=notification.body, tone=notification.tone)
    try:
        deliver(message)
    except PlatformError as error:
        _note_failure(notification, error.message, clock(), backoff)
        return False
    _finish(notification, NotificationState.SENT, clock())
    return True


def _note_failure(notification: Notification, error: str, now: datetime, backoff: Backoff) -> None:
    log.warning("notification_failed", notification=notification.pk, channel=notification.channel.name, error=error)
    if notification.attempts >= backoff.attempts:
        _finish(notification, NotificationState.FAILED, now, error=error)
        return
    NOTIFICATIONS.labels("retried").inc()
    Notification.objects.filter(pk=notification.pk, attempts=notification.attempts).update(
        state=NotificationState.PENDING,
        last_error=error,
        next_attempt_at=now + timedelta(seconds=backoff.delay_s(notification.attempts)),
    )
    Channel.objects.filter(pk=notification.channel_id).update(last_error=error)


def _finish(notification: Notification, state: NotificationState, now: datetime, *, error: str = "") -> None:
    is_sent = state is NotificationState.SENT
    with transaction.atomic():
        is_ours = Notification.objects.filter(pk=notification.pk, attempts=notification.attempts).update(
            state=state, last_error=error, sent_at=now if is_sent else None
        )
        if not is_ours:
            return
        kind = EventKind.NOTIFIED if is_sent else EventKind.NOT_NOTIFIED
        text = f"{notification.channel.name}: {notification.kind}" + (f" ({error})" if error else "")
        for alert in notification.alerts.all():
            add_event(alert, kind, at=now, text=text)
        changes = {"last_error": "", "last_sent_at": now} if is_sent else {"last_error": error}
        Channel.objects.filter(pk=notification.channel_id).update(**changes)
    NOTIFICATIONS.labels(state.value).inc()
