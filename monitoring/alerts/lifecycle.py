"""The life of an alert as a pure function of time and evidence.

              breach                 breach for `for`              ok
    inactive ────────▶ pending ─────────────────────────▶ firing ────▶ recovering
        ▲                 │ ok                              ▲    breach    │ ok for `keep firing for`
        ├─────────────────┘ (dropped: it never was an alert)└──────────────┤
        └──────────────────────────────────────────────────────────────────┘ (resolved)

No data and errors are no evidence: they move nothing, unless the rule's policy for them says that
they are themselves wrong, or well. After a gap (the clock jumped, nobody evaluated for long) the
waiting times start again, so that an outage neither fires nor resolves anything by its mere length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from monitoring.alerts.vocabulary import NoDataPolicy, Phase, Transition, Verdict


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a rule says about time. `stale_after_s`: a longer pause between evaluations is a gap."""

    for_s: float
    keep_firing_for_s: float
    no_data: NoDataPolicy
    stale_after_s: float
    on_error: NoDataPolicy = NoDataPolicy.KEEP


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where one (rule, endpoint, version) stands. `breached_at` is the last evaluation in breach."""

    phase: Phase = Phase.INACTIVE
    breach_since: datetime | None = None
    breached_at: datetime | None = None
    evaluated_at: datetime | None = None


def advance(position: Position, verdict: Verdict, timing: Timing, now: datetime) -> tuple[Position, Transition]:
    """Return the next position and the step that led there."""
    before = replace(_restart_after_gap(position, timing, now), evaluated_at=now)
    meaning = _meaning(verdict, timing)
    if meaning is Verdict.BREACH:
        return _breached(before, timing, now)
    if meaning is Verdict.OK:
        return _cleared(before, timing, now)
    return before, Transition.NONE


def _meaning(verdict: Verdict, timing: Timing) -> Verdict:
    """Return what a verdict counts as, by the rule's policies."""
    policies = {Verdict.NO_DATA: timing.no_data, Verdict.ERROR: timing.on_error}
    counts_as = {NoDataPolicy.ALERT: Verdict.BREACH, NoDataPolicy.OK: Verdict.OK, NoDataPolicy.KEEP: verdict}
    return counts_as[policies[verdict]] if verdict in policies else verdict


def _breached(before: Position, timing: Timing, now: datetime) -> tuple[Position, Transition]:
    if before.phase is Phase.FIRING:
        return replace(before, breached_at=now), Transition.NONE
    if before.phase is Phase.RECOVERING:
        return replace(before, phase=Phase.FIRING, breached_at=now), Transition.RELAPSED
    since = (before.breach_since or now) if before.phase is Phase.PENDING else now
    if (now - since).total_seconds() >= timing.for_s:
        return replace(before, phase=Phase.FIRING, breach_since=since, breached_at=now), Transition.FIRED
    step = Transition.NONE if before.phase is Phase.PENDING else Transition.STARTED
    return replace(before, phase=Phase.PENDING, breach_since=since, breached_at=now), step


def _cleared(before: Position, timing: Timing, now: datetime) -> tuple[Position, Transition]:
    idle = Position(evaluated_at=now)
    if before.phase is Phase.INACTIVE:
        return idle, Transition.NONE
    if before.phase is Phase.PENDING:
        return idle, Transition.DROPPED
    if before.breached_at and (now - before.breached_at).total_seconds() < timing.keep_firing_for_s:
        is_first = before.phase is Phase.FIRING
        return replace(before, phase=Phase.RECOVERING), Transition.RECOVERING if is_first else Transition.NONE
    return idle, Transition.RESOLVED


def _restart_after_gap(position: Position, timing: Timing, now: datetime) -> Position:
    if position.evaluated_at is None or position.phase is Phase.INACTIVE:
        return position
    pause_s = (now - position.evaluated_at).total_seconds()
    if 0 <= pause_s <= timing.stale_after_s:
        return position
    return replace(position, breach_since=now, breached_at=now)
