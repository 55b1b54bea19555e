"""What one step of a rule's target writes: all of it in one transaction, or nothing.

The target's revision decides between evaluators: the first to write wins, the others write nothing,
so a step happens once, and so do its message and its action.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F

from monitoring.alerts.actions import order_action_if_due
from monitoring.alerts.conditions import condition_text
from monitoring.alerts.groups import join_groups
from monitoring.alerts.history import append_recent, append_thinned
from monitoring.alerts.judgement import Observation, format_number
from monitoring.alerts.labels import fingerprint_of, labels_of
from monitoring.alerts.lifecycle import Position
from monitoring.alerts.messages import render_text
from monitoring.alerts.silences import find_silence, mark_alert
from monitoring.alerts.timeline import TEXT_LENGTH, add_event
from monitoring.alerts.vocabulary import (
    ACTIVE_STATES,
    AlertState,
    EventKind,
    Phase,
    TargetState,
    Transition,
    Verdict,
)
from monitoring.models.alerts import Alert, AlertRule, RuleTarget, Silence

log = structlog.get_logger(__name__)

_MEASURED_FIELDS = (
    "value", "samples", "detail", "message", "reason", "last_verdict", "last_evaluated_at", "history",
)  # fmt: skip
_CHANGED = (
    "phase", "verdict", "state", "state_since", "breach_since", "breached_at", "evaluated_at", "value", "samples",
    "message", "recent", "revision",
)  # fmt: skip
_VERDICT_EVENTS = {
    Verdict.NO_DATA: EventKind.NO_DATA,
    Verdict.ERROR: EventKind.ERROR,
    Verdict.OK: EventKind.DATA_BACK,
    Verdict.BREACH: EventKind.DATA_BACK,
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One evaluation of a target: what was found, where that leads, and when."""

    observation: Observation
    position: Position
    transition: Transition
    now: datetime


def position_of(target: RuleTarget) -> Position:
    """Return where a target stands, as its row says."""
    return Position(
        phase=Phase(target.phase),
        breach_since=target.breach_since,
        breached_at=target.breached_at,
        evaluated_at=target.evaluated_at,
    )


def record_step(rule: AlertRule, target: RuleTarget, step: Step, *, fence: Callable[[], None] | None = None) -> bool:
    """Write a step and what follows from it; False if another evaluator was first.

    `fence` is called inside the transaction and raises if the evaluator is no longer the one that may write.
    """
    with transaction.atomic():
        if fence is not None:
            fence()
        if not _advance_target(target, step):
            return False
        alert = _alert_after(rule, target, step)
        if alert is not None and alert.is_active:
            silence = find_silence(alert, step.now)
            mark_alert(alert, silence, now=step.now)
            if alert.state == AlertState.FIRING:
                _respond(rule, alert, silence, step)
    if step.transition is not Transition.NONE:
        log.info(
            "alert_step", step=step.transition.value, rule=rule.name, endpoint=target.endpoint,
            version=target.version, found=step.observation.message,
        )  # fmt: skip
    return True


def is_quiet_step(target: RuleTarget, step: Step) -> bool:
    """Say whether nothing follows from a step but what the target's own row says."""
    return step.transition is Transition.NONE and target.alert_id is None


def record_quiet_steps(
    steps: Sequence[tuple[RuleTarget, Step]], *, fence: Callable[[], None] | None = None
) -> frozenset[int]:
    """Write quiet steps in one transaction; return the targets of those for which no other evaluator was first."""
    if not steps:
        return frozenset()
    with transaction.atomic():
        if fence is not None:
            fence()
        rows = RuleTarget.objects.select_for_update().filter(pk__in=[target.pk for target, _ in steps]).order_by("pk")
        revisions = dict(rows.values_list("pk", "revision"))
        first = [(target, step) for target, step in steps if revisions.get(target.pk) == target.revision]
        # All of these rows are there, and locked: none is inserted, all are updated, by one statement.
        RuleTarget.objects.bulk_create(
            [_changed(target, step) for target, step in first],
            update_conflicts=True, unique_fields=["pk"], update_fields=_CHANGED,
        )  # fmt: skip
    return frozenset(target.pk for target, _ in first)


def close_alert(alert: Alert, *, now: datetime, text: str, by: str = "") -> bool:
    """Resolve an active alert and tell those who were told; False if it was over already."""
    with transaction.atomic():
        RuleTarget.objects.filter(alert=alert).update(
            phase=Phase.INACTIVE, state=TargetState.INACTIVE, state_since=now,
            breach_since=None, breached_at=None, alert=None, revision=F("revision") + 1,
        )  # fmt: skip
        if alert.state == AlertState.PENDING and not by:
            return bool(Alert.objects.filter(pk=alert.pk, state=AlertState.PENDING).delete()[0])
        return _resolve(alert, now=now, text=text, by=by)


def state_of(position: Position, verdict: Verdict) -> TargetState:
    """Return phase and verdict in one word."""
    if position.phase is Phase.INACTIVE and verdict in (Verdict.NO_DATA, Verdict.ERROR):
        return TargetState(verdict.value)
    return TargetState(position.phase.value)


def _advance_target(target: RuleTarget, step: Step) -> bool:
    is_first = RuleTarget.objects.filter(pk=target.pk, revision=target.revision).update(
        **_changes(target, step), revision=F("revision") + 1
    )
    return bool(is_first)


def _changed(target: RuleTarget, step: Step) -> RuleTarget:
    """Return the row that a target's step makes; the target is as it was, should the row not be written."""
    changed = copy.copy(target)
    for name, value in _changes(target, step).items():
        setattr(changed, name, value)
    changed.revision += 1
    return changed


def _changes(target: RuleTarget, step: Step) -> dict[str, Any]:
    """Return what a step makes of its target's row, without the revision."""
    found, position = step.observation, step.position
    state = state_of(position, found.verdict)
    return {
        "phase": position.phase,
        "verdict": found.verdict,
        "state": state,
        "state_since": target.state_since if state == target.state and target.state_since else step.now,
        "breach_since": position.breach_since,
        "breached_at": position.breached_at,
        "evaluated_at": step.now,
        "value": found.value,
        "samples": found.samples,
        "message": found.message[:TEXT_LENGTH],
        "recent": append_recent(target.recent, step.now, found.value),
    }


def _alert_after(rule: AlertRule, target: RuleTarget, step: Step) -> Alert | None:
    alert = target.alert
    match step.transition:
        case Transition.DROPPED:
            if alert:
                alert.delete()
            return None
        case Transition.RESOLVED:
            if alert:
                _resolve(alert, now=step.now, text=step.observation.message)
            RuleTarget.objects.filter(pk=target.pk).update(alert=None)
            return alert
        case Transition.STARTED | Transition.FIRED:
            alert = _refresh(alert, step) if alert else _create_alert(rule, target, step)
            if step.transition is Transition.FIRED:
                _fire(alert, rule, step)
            return alert
        case Transition.RECOVERING | Transition.RELAPSED:
            return _turn(_refresh(alert, step), step) if alert else None
        case _:
            return _refresh(alert, step) if alert else None


def _create_alert(rule: AlertRule, target: RuleTarget, step: Step) -> Alert:
    found = step.observation
    labels = labels_of(rule, target.endpoint, target.version)
    alert = Alert.objects.create(
        fingerprint=fingerprint_of(labels), rule=rule, rule_name=rule.name, endpoint=target.endpoint,
        version=target.version, metric=rule.metric, feature=rule.feature, comparison=rule.comparison,
        threshold=rule.threshold, condition=condition_text(rule), window_s=rule.window_s, severity=rule.severity,
        labels=labels,
        state=AlertState.PENDING, reason=found.verdict, last_verdict=found.verdict, value=found.value,
        samples=found.samples, message=found.message[:TEXT_LENGTH], detail=dict(found.detail),
        history=append_recent(target.recent, step.now, found.value), started_at=step.now, last_evaluated_at=step.now,
        **_texts(rule, target, found),
    )  # fmt: skip
    RuleTarget.objects.filter(pk=target.pk).update(alert=alert)
    add_event(alert, EventKind.STARTED, at=step.now, text=found.message)
    return alert


def _refresh(alert: Alert, step: Step) -> Alert:
    found = step.observation
    had_data = alert.last_verdict in (Verdict.OK, Verdict.BREACH)
    has_data = found.verdict in (Verdict.OK, Verdict.BREACH)
    if had_data != has_data or (not has_data and found.verdict != alert.last_verdict):
        add_event(alert, _VERDICT_EVENTS[found.verdict], at=step.now, text=found.message)
    if found.verdict is Verdict.BREACH:
        alert.value, alert.samples, alert.detail = found.value, found.samples, dict(found.detail)
        alert.message, alert.reason = found.message[:TEXT_LENGTH], Verdict.BREACH
    alert.last_verdict, alert.last_evaluated_at = found.verdict, step.now
    alert.history = append_thinned(alert.history, step.now, found.value)
    alert.save(update_fields=_MEASURED_FIELDS)
    return alert


def _fire(alert: Alert, rule: AlertRule, step: Step) -> None:
    alert.state, alert.fired_at = AlertState.FIRING, step.now
    alert.save(update_fields=["state", "fired_at"])
    add_event(alert, EventKind.FIRED, at=step.now, text=step.observation.message)
    join_groups(alert, rule, now=step.now)


def _turn(alert: Alert, step: Step) -> Alert:
    is_well = step.transition is Transition.RECOVERING
    alert.state = AlertState.RECOVERING if is_well else AlertState.FIRING
    alert.save(update_fields=["state"])
    kind = EventKind.RECOVERING if is_well else EventKind.RELAPSED
    add_event(alert, kind, at=step.now, text=step.observation.message)
    return alert


def _resolve(alert: Alert, *, now: datetime, text: str, by: str = "") -> bool:
    is_ours = Alert.objects.filter(pk=alert.pk, state__in=ACTIVE_STATES).update(
        state=AlertState.RESOLVED, resolved_at=now, resolved_by=by
    )
    if not is_ours:
        return False
    alert.state, alert.resolved_at, alert.resolved_by = AlertState.RESOLVED, now, by
    add_event(alert, EventKind.RESOLVED, at=now, text=text, actor=by)
    return True


def _respond(rule: AlertRule, alert: Alert, silence: Silence | None, step: Step) -> None:
    if silence is None or not silence.holds_actions:
        order_action_if_due(alert, rule, now=step.now)


def _texts(rule: AlertRule, target: RuleTarget, found: Observation) -> dict[str, object]:
    values = {
        "endpoint": target.endpoint,
        "version": str(target.version),
        "metric": rule.metric,
        "value": format_number(found.value),
        "threshold": format_number(rule.threshold),
        "samples": str(found.samples),
    }
    annotations = {name: render_text(text, values) for name, text in rule.annotations.items()}
    return {"summary": render_text(rule.summary, values)[:TEXT_LENGTH], "annotations": annotations}
