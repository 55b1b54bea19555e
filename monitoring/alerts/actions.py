"""What a rule does by itself, once a firing. What each kind does stands in `monitoring.actions`.

An action is ordered in the transaction that makes the alert fire, and carried out by a job. The
order's key makes a repeat after a crash change nothing. What was known is kept as evidence, also in the
audit log. A person's hold lets nothing begin; cooldown, limit a day and dry run are the rule's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q, QuerySet

from aiplatform.audit import write_audit
from aiplatform.errors import ConflictError, InvalidInputError, NotFoundError, PlatformError
from monitoring.alerts.durations import duration_text
from monitoring.alerts.metrics import ACTIONS
from monitoring.alerts.notifications import Backoff, enqueue_notifications
from monitoring.alerts.timeline import add_event
from monitoring.alerts.vocabulary import (
    STANDING_STATES,
    ActionKind,
    ActionState,
    EventKind,
    NotificationKind,
)
from monitoring.models.alerts import ActionRun, Alert, AlertRule
from monitoring.rollouts.holds import describe_hold, find_hold

log = structlog.get_logger(__name__)

CLAIM_S = 60.0
HELD_PAUSE_S = 5.0
_UNFINISHED = (ActionState.PENDING, ActionState.RUNNING)
_FINAL_ERRORS = (ConflictError, NotFoundError, InvalidInputError)

Performer = Callable[[ActionRun], Mapping[str, Any]]  # raises a PlatformError
Performers = Mapping[str, Performer]


def order_action_if_due(alert: Alert, rule: AlertRule, *, now: datetime) -> ActionRun | None:
    """Write the order for a firing alert's action, unless it has one; inside the step's transaction."""
    if rule.action == ActionKind.NONE or ActionRun.objects.filter(alert=alert).exists():
        return None
    run = ActionRun(
        alert=alert, kind=rule.action, endpoint=alert.endpoint, version=alert.version,
        idempotency_key=f"alert-{alert.pk}-{int((alert.fired_at or now).timestamp())}",
        next_attempt_at=now, created_at=now, evidence=_evidence(alert),
    )  # fmt: skip
    run.error = _why_not(run, rule, now)
    if run.error:
        run.state, run.finished_at = ActionState.SKIPPED, now
    run.save()
    if run.error:
        add_event(alert, EventKind.ACTION, at=now, text=f"{run.kind} skipped: {run.error}")
        ACTIONS.labels(run.kind, ActionState.SKIPPED.value).inc()
    return run


def run_due_actions(*, performers: Performers, clock: Callable[[], datetime], backoff: Backoff) -> int:
    """Carry out what is due, in the order in which it was ordered, and return how many were tried."""
    tried = 0
    for run in _list_due(clock(), backoff):
        if not _is_held(run, clock()) and not _has_one_before_it(run) and _claim(run, clock()):
            tried += 1
            _attempt(run, performers, clock, backoff)
    return tried


def list_unfinished_actions() -> QuerySet[ActionRun]:
    """Return what is to be carried out, or is being carried out."""
    return ActionRun.objects.filter(state__in=_UNFINISHED)


def describe_action(run: ActionRun) -> str:
    """Return what a run does, as people say it."""
    return f"{run.get_kind_display()}: {run.endpoint}, because of version {run.version}"


def _is_held(run: ActionRun, now: datetime) -> bool:
    """Say whether a person stopped all automation; the run says so, and is looked at again later."""
    hold = find_hold(run.endpoint) if run.state == ActionState.PENDING else None
    if hold is None:
        return False
    later = now + timedelta(seconds=HELD_PAUSE_S)
    ActionRun.objects.filter(pk=run.pk, attempts=run.attempts).update(error=describe_hold(hold), next_attempt_at=later)
    return True


def _list_due(now: datetime, backoff: Backoff) -> list[ActionRun]:
    far = now + timedelta(seconds=max(backoff.longest_s, CLAIM_S) + 1)
    due: Q = Q(state=ActionState.PENDING) & (Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=far))
    lost: Q = Q(state=ActionState.RUNNING) & (Q(claimed_until__lte=now) | Q(claimed_until__gt=far))
    return list(ActionRun.objects.filter(due | lost).select_related("alert", "alert__rule").order_by("pk"))


def _claim(run: ActionRun, now: datetime) -> bool:
    claimed = ActionRun.objects.filter(pk=run.pk, state=run.state, attempts=run.attempts).update(
        state=ActionState.RUNNING, attempts=F("attempts") + 1, claimed_until=now + timedelta(seconds=CLAIM_S)
    )
    run.attempts += 1
    return bool(claimed)


def _attempt(run: ActionRun, performers: Performers, clock: Callable[[], datetime], backoff: Backoff) -> None:
    # An order that was not carried out is too late once its alert is over. One whose process was
    # lost may have been carried out: only repeating it can tell.
    if run.state == ActionState.PENDING and run.alert.state not in STANDING_STATES:
        _finish(run, ActionState.SKIPPED, clock(), error=f"the alert was over first. {run.error}".strip())
        return
    reason = _why_not(run, run.alert.rule, clock()) if run.state == ActionState.PENDING else ""
    if reason:
        _finish(run, ActionState.SKIPPED, clock(), error=reason)
        return
    if run.alert.rule is not None and run.alert.rule.action_is_dry_run:
        _finish(run, ActionState.DRY_RUN, clock(), result={"would": describe_action(run)})
        return
    try:
        result = performers[run.kind](run)
    except _FINAL_ERRORS as error:
        state = ActionState.REFUSED if isinstance(error, ConflictError) else ActionState.FAILED
        _finish(run, state, clock(), error=error.message)
    except PlatformError as error:
        _note_failure(run, error.message, clock(), backoff)
    else:
        _finish(run, ActionState.SUCCEEDED, clock(), result=result)


def _note_failure(run: ActionRun, error: str, now: datetime, backoff: Backoff) -> None:
    log.warning("alert_action_failed", action=run.kind, endpoint=run.endpoint, version=run.version, error=error)
    if run.attempts >= backoff.attempts:
        _finish(run, ActionState.FAILED, now, error=error)
        return
    ActionRun.objects.filter(pk=run.pk, attempts=run.attempts).update(
        state=ActionState.PENDING,
        error=error,
        next_attempt_at=now + timedelta(seconds=backoff.delay_s(run.attempts)),
    )


def _finish(
    run: ActionRun, state: ActionState, now: datetime, *, error: str = "", result: Mapping[str, Any] | None = None
) -> None:
    with transaction.atomic():
        is_ours = ActionRun.objects.filter(pk=run.pk, attempts=run.attempts).update(
            state=state, error=error, result=dict(result or {}), finished_at=now
        )
        if not is_ours:
            return
        because = f": {error}" if error else ""
        text = f"{run.kind} of {run.endpoint} from version {run.version} {state.value}{because}"
        add_event(run.alert, EventKind.ACTION, at=now, text=text)
        if state is not ActionState.SKIPPED:
            enqueue_notifications(run.alert, run.alert.rule, NotificationKind.ACTION, now=now, note=text)
    ACTIONS.labels(run.kind, state.value).inc()
    write_audit(
        actor=f"alert rule {run.alert.rule_name}", action=f"action.{run.kind}.{state.value}",
        object=f"endpoint:{run.endpoint}",
        evidence={"alert": run.alert_id, "version": run.version, "error": error, "result": dict(result or {}),
                  **run.evidence},
    )  # fmt: skip
    log.info("alert_action", action=run.kind, endpoint=run.endpoint, version=run.version, outcome=state.value)


def _has_one_before_it(run: ActionRun) -> bool:
    # What becomes of the earlier order decides: a refused one, say from an idle version, starts no cooldown.
    return list_unfinished_actions().filter(endpoint=run.endpoint, kind=run.kind, pk__lt=run.pk).exists()


def _why_not(run: ActionRun, rule: AlertRule | None, now: datetime) -> str:
    """Return why cooldown or limit forbid this, or nothing."""
    return _cooldown_text(run, rule, now) or _limit_text(run, rule, now)


def _limit_text(run: ActionRun, rule: AlertRule | None, now: datetime) -> str:
    limit = rule.action_limit_per_day if rule else 0
    if rule is None or not limit:
        return ""
    since = now - timedelta(days=1)
    done = ActionRun.objects.filter(alert__rule=rule, kind=run.kind, state=ActionState.SUCCEEDED, created_at__gt=since)
    count = done.count()
    return f"limit: {count} actions of this rule in 24 hours, {limit} are allowed" if count >= limit else ""


def _cooldown_text(run: ActionRun, rule: AlertRule | None, now: datetime) -> str:
    """Return why the cooldown forbids this, or nothing."""
    cooldown_s = rule.action_cooldown_s if rule else 0
    done = ActionRun.objects.filter(
        endpoint=run.endpoint, kind=run.kind, state=ActionState.SUCCEEDED,
        created_at__gt=now - timedelta(seconds=cooldown_s),
    ).order_by("-created_at").first()  # fmt: skip
    if done is None:
        return ""
    return (
        f"cooldown: {done.kind} of {done.endpoint} was ordered at {done.created_at:%H:%M:%S} UTC, "
        f"less than {duration_text(cooldown_s)} ago"
    )


def _evidence(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.rule_name,
        "metric": alert.metric,
        "value": alert.value,
        "threshold": alert.threshold,
        "samples": alert.samples,
        "window_s": alert.window_s,
        "message": alert.message,
        "detail": alert.detail,
        "history": alert.history[-20:],
    }
