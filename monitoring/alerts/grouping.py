"""When a group of alerts is told, as a pure function; the rules are Alertmanager's.

- A new group waits `group_wait` for more alerts; later changes are told every `group_interval` at the earliest.
- An alert that ended before it was told is told to nobody.
- Unchanged, a group is told again after `repeat_interval`, unless everything in it was acknowledged.
- What is muted now (a silence, an inhibition, quiet hours) is left out, and so is its end.
- The same labels firing again before their end was told are no news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from monitoring.alerts.vocabulary import NotificationKind, ToldState


class Timed(Protocol):
    """The times of a route."""

    group_wait_s: int
    group_interval_s: int
    repeat_interval_s: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """What is known of one alert of a group. `key` is its identity for the caller."""

    key: int
    fingerprint: str
    is_over: bool
    told: str = ToldState.NOTHING
    is_muted: bool = False
    is_acknowledged: bool = False


M = TypeVar("M", bound=Member)


@dataclass(frozen=True, kw_only=True)
class Flush:
    """What follows from a look at a group: what is told (`kind` None: nothing), who takes over from
    whom (same labels, fired again), and which alerts leave the group."""

    kind: NotificationKind | None
    firing: tuple[Member, ...] = ()
    resolved: tuple[Member, ...] = ()
    leave: tuple[Member, ...] = ()


def first_flush_at(route: Timed, now: datetime) -> datetime:
    """Return when a group that was empty is told."""
    return now + timedelta(seconds=route.group_wait_s)


def next_flush_at(route: Timed, now: datetime) -> datetime:
    """Return when a group is looked at again."""
    return now + timedelta(seconds=route.group_interval_s)


def decide_flush(members: Sequence[Member], route: Timed, notified_at: datetime | None, now: datetime) -> Flush:
    """Return what a group tells now."""
    standing = {member.fingerprint for member in members if not member.is_over}
    told_before = {member.fingerprint for member in members if member.told == ToldState.FIRING}
    over = [member for member in members if member.is_over]
    firing = tuple(member for member in members if not member.is_over and not member.is_muted)
    resolved = tuple(
        member for member in over
        if member.told == ToldState.FIRING and not member.is_muted and member.fingerprint not in standing
    )  # fmt: skip
    has_news = any(member.fingerprint not in told_before for member in firing)
    kind = _kind(firing, resolved, has_news, route, notified_at, now)
    return Flush(kind=kind, firing=firing if kind else (), resolved=resolved if kind else (), leave=tuple(over))


def _kind(
    firing: Sequence[Member], resolved: Sequence[Member], has_news: bool, route: Timed,
    notified_at: datetime | None, now: datetime,
) -> NotificationKind | None:  # fmt: skip
    if has_news or (resolved and firing):
        return NotificationKind.FIRING
    if resolved:
        return NotificationKind.RESOLVED
    waiting = any(not member.is_acknowledged for member in firing)
    if not waiting or not route.repeat_interval_s or notified_at is None:
        return None
    is_due = (now - notified_at).total_seconds() >= route.repeat_interval_s
    return NotificationKind.REPEAT if is_due else None
