"""Groups in the database: alerts join when they fire; a job tells what changed, and escalates.

A flush writes what it decides, its messages included, in one transaction; of two clocks that look at
one group at the same time the second writes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet

from monitoring.alerts.escalation import escalate_group
from monitoring.alerts.grouping import Flush, Member, decide_flush, first_flush_at, next_flush_at
from monitoring.alerts.muting import Muting
from monitoring.alerts.outbox import enqueue_group
from monitoring.alerts.routing import channels_of_rule, group_labels, routes_of
from monitoring.alerts.timeline import add_event
from monitoring.alerts.vocabulary import AlertState, EventKind, ToldState
from monitoring.models.alerts import Alert, AlertGroup, AlertRule, Channel, GroupMember, Route

log = structlog.get_logger(__name__)

GAP_S = 120.0  # nobody looked for so long, or the clock went back: waiting times start again
LOOK_S = 30.0  # how old `looked_at` may become


def join_groups(alert: Alert, rule: AlertRule | None, *, now: datetime) -> None:
    """Put an alert that begins to fire into a group of each route that takes it; inside the step's transaction."""
    own = channels_of_rule(rule)
    for route in routes_of(alert.labels):
        group = _open_group(route, group_labels(route, alert.labels), own, now)
        GroupMember.objects.get_or_create(group=group, alert=alert)
        if group.next_flush_at is None:
            due_at = first_flush_at(route, now)
            AlertGroup.objects.filter(pk=group.pk, next_flush_at=None).update(
                next_flush_at=due_at, opened_at=now, looked_at=now, revision=F("revision") + 1
            )


def list_open_groups() -> QuerySet[AlertGroup]:
    """Return the groups that have something to tell, now or later."""
    return AlertGroup.objects.filter(next_flush_at__isnull=False).order_by("pk")


def flush_due_groups(*, clock: Callable[[], datetime]) -> int:
    """Tell what is due of every group, and escalate; return how many groups told something."""
    now = clock()
    told, muting = 0, Muting.read(now)
    for group in list_open_groups().select_related("route"):
        try:
            with transaction.atomic():
                told += _look_at(group, muting, now)
        except Exception:  # what one group cannot write must not keep the others from being told
            log.exception("alert_group_failed", group=group.pk)
    return told


def channels_of_group(group: AlertGroup) -> list[Channel]:
    """Return the enabled channels of a group: the rule's own, else the route's."""
    from monitoring.alerts.routing import channels_of_route

    own = list(group.channels.order_by("pk"))
    return [channel for channel in own if channel.is_enabled] if own else channels_of_route(group.route)


def delete_empty_groups(*, before: datetime) -> int:
    """Delete groups that have had no alert for long; return how many."""
    empty: Q = Q(next_flush_at=None, opened_at__lt=before) & (Q(notified_at=None) | Q(notified_at__lt=before))
    count, _ = AlertGroup.objects.filter(empty, members=None).delete()
    return count


def _open_group(route: Route, labels: dict[str, str], own: list[Channel], now: datetime) -> AlertGroup:
    identity = json.dumps([route.pk, labels, [channel.pk for channel in own]], sort_keys=True)
    key = hashlib.sha256(identity.encode()).hexdigest()
    group, is_new = AlertGroup.objects.select_for_update().get_or_create(
        key=key, defaults={"route": route, "labels": labels, "opened_at": now}
    )
    if is_new and own:
        group.channels.set(own)
    return group


def _look_at(group: AlertGroup, muting: Muting, now: datetime) -> bool:
    if _had_gap(group, now):
        _restart_waiting(group, now)
    is_due = group.next_flush_at is not None and group.next_flush_at <= now
    if not is_due and group.looked_at is not None and (now - group.looked_at).total_seconds() < LOOK_S:
        return escalate_group(group, muting, channels_of_group(group), now=now)
    if not _claim(group, now, is_due=is_due):
        return False
    told = _flush(group, muting, now) if is_due else False
    return escalate_group(group, muting, channels_of_group(group), now=now) or told


def _claim(group: AlertGroup, now: datetime, *, is_due: bool) -> bool:
    due_at = next_flush_at(group.route, now) if is_due else group.next_flush_at
    claimed = AlertGroup.objects.filter(pk=group.pk, revision=group.revision).update(
        next_flush_at=due_at, looked_at=now, revision=F("revision") + 1
    )
    group.next_flush_at, group.looked_at, group.revision = due_at, now, group.revision + 1
    return bool(claimed)


def _flush(group: AlertGroup, muting: Muting, now: datetime) -> bool:
    rows = list(group.members.select_related("alert", "alert__rule").order_by("pk"))
    members = [_member(row, muting, now) for row in rows]
    flush = decide_flush(members, group.route, group.notified_at, now)
    alerts = {row.alert_id: row.alert for row in rows}
    channels = _all_channels(group, rows)
    if flush.kind and not channels:  # who could not be told must hear of it once there is a channel
        flush = replace(flush, kind=None, firing=(), resolved=())
    if flush.kind:
        firing = [alerts[member.key] for member in flush.firing]
        resolved = [alerts[member.key] for member in flush.resolved]
        enqueue_group(group, channels, flush.kind, firing=firing, resolved=resolved, now=now)
        AlertGroup.objects.filter(pk=group.pk).update(notified_at=now)
    _settle(group, rows, flush, now)
    return flush.kind is not None


def _member(row: GroupMember, muting: Muting, now: datetime) -> Member:
    alert = row.alert
    reason = muting.reason(alert, alert.rule.quiet_hours.all() if alert.rule else ())
    if reason != alert.muted_reason:
        _mark_muted(alert, reason, now)
    return Member(
        key=alert.pk, fingerprint=alert.fingerprint, is_over=alert.state == AlertState.RESOLVED, told=row.told,
        is_muted=bool(reason), is_acknowledged=alert.is_acknowledged,
    )  # fmt: skip


def _mark_muted(alert: Alert, reason: str, now: datetime) -> None:
    is_by_silence = reason.startswith("silence ") or alert.muted_reason.startswith("silence ")
    Alert.objects.filter(pk=alert.pk).update(muted_reason=reason)
    alert.muted_reason = reason
    if not is_by_silence:  # silences tell the timeline themselves
        add_event(alert, EventKind.MUTED if reason else EventKind.UNMUTED, at=now, text=reason)


def _settle(group: AlertGroup, rows: list[GroupMember], flush: Flush, now: datetime) -> None:
    """Write what the receivers know now, and let go of what is over."""
    leaving = {member.key for member in flush.leave}
    told_firing = {member.key for member in flush.firing}
    known = {row.alert.fingerprint: row for row in rows if row.told == ToldState.FIRING}
    for row in rows:
        heir_of = known.get(row.alert.fingerprint)
        if row.alert_id in leaving:
            row.delete()
        elif row.told != ToldState.FIRING and (row.alert_id in told_firing or heir_of):
            row.told, row.told_at = ToldState.FIRING, heir_of.told_at if heir_of else now
            row.escalated = heir_of.escalated if heir_of else 0
            row.save(update_fields=["told", "told_at", "escalated"])
    if len(leaving) == len(rows):
        AlertGroup.objects.filter(pk=group.pk, revision=group.revision).update(next_flush_at=None)


def _all_channels(group: AlertGroup, rows: list[GroupMember]) -> list[Channel]:
    """Return the group's channels, and those that earlier escalations told: they are told the rest too."""
    steps = max((row.escalated for row in rows), default=0)
    done = list(group.route.escalations.order_by("after_s", "pk"))[:steps]
    escalated = [channel for step in done for channel in step.channels.filter(is_enabled=True)]
    return list({channel.pk: channel for channel in [*channels_of_group(group), *escalated]}.values())


def _had_gap(group: AlertGroup, now: datetime) -> bool:
    return group.looked_at is not None and not -1 <= (now - group.looked_at).total_seconds() <= GAP_S


def _restart_waiting(group: AlertGroup, now: datetime) -> None:
    """Begin repeat and escalation anew, and bring the next look near, after a jump of the clock or an outage."""
    latest = now + timedelta(seconds=group.route.group_interval_s)
    group.next_flush_at = min(group.next_flush_at or latest, latest)
    group.notified_at = now if group.notified_at else None
    group.looked_at = now
    written = AlertGroup.objects.filter(pk=group.pk, revision=group.revision).update(
        next_flush_at=group.next_flush_at, notified_at=group.notified_at, looked_at=now, revision=F("revision") + 1
    )
    if written:
        group.revision += 1
        group.members.filter(told=ToldState.FIRING).update(told_at=now)
