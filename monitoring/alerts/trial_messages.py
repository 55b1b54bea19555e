"""The messages that a rule's past firings would have sent: grouped, repeated and muted as the real ones are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from monitoring.alerts.grouping import Member, decide_flush, first_flush_at, next_flush_at
from monitoring.alerts.labels import fingerprint_of, labels_of
from monitoring.alerts.quiet import find_quiet
from monitoring.alerts.routing import channels_of_route, channels_of_rule, group_labels, list_routes, routes_of
from monitoring.alerts.vocabulary import NotificationKind, QuietEffect, ToldState
from monitoring.models.alerts import AlertRule, QuietHours, Route

MOST = 500


@dataclass
class Firing:
    """One alert that would have fired."""

    rule: AlertRule
    endpoint: str
    version: int
    fired_at: datetime
    resolved_at: datetime | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that the alert would have had."""
        return labels_of(self.rule, self.endpoint, self.version)


@dataclass(frozen=True, kw_only=True)
class TrialMessage:
    """One message that would have gone to each of the channels."""

    at: datetime
    kind: NotificationKind
    group: str
    firing: int
    resolved: int
    channels: tuple[str, ...]


def list_messages(rule: AlertRule, firings: Sequence[Firing], *, until: datetime) -> list[TrialMessage]:
    """Return what would have been sent, in time order, at most MOST."""
    routes = list_routes()
    groups: dict[tuple[int, str], tuple[Route, list[Firing]]] = {}
    for firing in firings:
        for route in routes_of(firing.labels, routes):
            key = (route.pk, json.dumps(group_labels(route, firing.labels), sort_keys=True))
            groups.setdefault(key, (route, []))[1].append(firing)
    own = channels_of_rule(rule) if rule.pk else []
    quiet_hours = list(rule.quiet_hours.all()) if rule.pk else []
    messages: list[TrialMessage] = []
    for route, members in groups.values():
        enabled = [channel for channel in own if channel.is_enabled] if own else channels_of_route(route)
        names = tuple(channel.name for channel in enabled)
        messages += _play(route, sorted(members, key=lambda one: one.fired_at), names, quiet_hours, until)
    return sorted(messages, key=lambda message: message.at)[:MOST]


def _play(
    route: Route, firings: list[Firing], channels: tuple[str, ...], quiet_hours: Sequence[QuietHours], until: datetime
) -> list[TrialMessage]:
    """Look at one group as often as the platform would have."""
    messages: list[TrialMessage] = []
    told: dict[int, ToldState] = {}
    waiting = list(enumerate(firings))
    inside: list[tuple[int, Firing]] = []
    notified_at: datetime | None = None
    look_at = first_flush_at(route, firings[0].fired_at)
    while look_at <= until and len(messages) < MOST:
        inside += [one for one in waiting if one[1].fired_at <= look_at]
        waiting = [one for one in waiting if one[1].fired_at > look_at]
        is_muted = find_quiet(quiet_hours, QuietEffect.MUTE, look_at) is not None
        flush = decide_flush([_member(one, told, look_at, is_muted) for one in inside], route, notified_at, look_at)
        if flush.kind:
            notified_at = look_at
            shared = ", ".join(f"{k}={v}" for k, v in group_labels(route, firings[0].labels).items())
            messages.append(
                TrialMessage(at=look_at, kind=flush.kind, group=shared, firing=len(flush.firing),
                             resolved=len(flush.resolved), channels=channels)
            )  # fmt: skip
        told |= {member.key: ToldState.FIRING for member in flush.firing}
        left = {member.key for member in flush.leave}
        inside = [one for one in inside if one[0] not in left]
        if inside:
            look_at = next_flush_at(route, look_at)
        elif waiting:
            look_at = max(look_at, first_flush_at(route, waiting[0][1].fired_at))
        else:
            break
    return messages


def _member(one: tuple[int, Firing], told: dict[int, ToldState], at: datetime, is_muted: bool) -> Member:
    key, firing = one
    is_over = firing.resolved_at is not None and firing.resolved_at <= at
    return Member(
        key=key, fingerprint=fingerprint_of(firing.labels), is_over=is_over, is_muted=is_muted,
        told=told.get(key, ToldState.NOTHING),
    )  # fmt: skip
