"""Who else is told, once an alert was told and nobody acknowledged it for a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitoring.alerts.durations import duration_text
from monitoring.alerts.muting import Muting
from monitoring.alerts.outbox import enqueue_group
from monitoring.alerts.timeline import add_event
from monitoring.alerts.vocabulary import STANDING_STATES, EventKind, NotificationKind, ToldState
from monitoring.models.alerts import AlertGroup, Channel, Escalation, GroupMember


def escalate_group(group: AlertGroup, muting: Muting, already_told: Sequence[Channel], *, now: datetime) -> bool:
    """Tell the next channels of what has waited long enough; say whether anybody was told."""
    steps = list(group.route.escalations.order_by("after_s", "pk"))
    told = False
    for index, step in enumerate(steps):
        members = [member for member in _waiting(group, index) if _is_due(member, step, now)]
        due = [member for member in members if not _is_muted(member, muting)]
        if due:
            told = True
            _escalate(group, step, due, already_told, now)
    return told


def _waiting(group: AlertGroup, done: int) -> list[GroupMember]:
    rows = group.members.filter(
        told=ToldState.FIRING, escalated=done, alert__state__in=STANDING_STATES, alert__acknowledged_at=None
    )
    return list(rows.select_related("alert", "alert__rule").order_by("pk"))


def _is_due(member: GroupMember, step: Escalation, now: datetime) -> bool:
    return member.told_at is not None and (now - member.told_at).total_seconds() >= step.after_s


def _is_muted(member: GroupMember, muting: Muting) -> bool:
    rule = member.alert.rule
    return bool(muting.reason(member.alert, rule.quiet_hours.all() if rule else ()))


def _escalate(
    group: AlertGroup, step: Escalation, due: list[GroupMember], already_told: Sequence[Channel], now: datetime
) -> None:
    known = {channel.pk for channel in already_told}
    channels = [channel for channel in step.channels.filter(is_enabled=True).order_by("pk") if channel.pk not in known]
    written = GroupMember.objects.filter(pk__in=[member.pk for member in due], escalated=due[0].escalated).update(
        escalated=due[0].escalated + 1
    )
    if not written:
        return
    names = ", ".join(channel.name for channel in channels) or "no enabled channel"
    for member in due:
        text = f"nobody acknowledged it for {duration_text(step.after_s)}: {names}"
        add_event(member.alert, EventKind.ESCALATED, at=now, text=text)
    note = f"Nobody has acknowledged this for {duration_text(step.after_s)}."
    alerts = [member.alert for member in due]
    enqueue_group(group, channels, NotificationKind.ESCALATION, firing=alerts, resolved=[], now=now, note=note)
