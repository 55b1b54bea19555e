"""What happened around a version in a period: alerts, rollouts, and where it comes from."""

from __future__ import annotations

from django.db.models import Q

from aiplatform.errors import PlatformError
from aiplatform.services import training_client
from monitoring.models import ServedVersion
from monitoring.models.alerts import ActionRun, Alert
from monitoring.models.rollouts import Rollout
from monitoring.reports.document import AlertLine, LineageSection, RolloutLine
from monitoring.reports.findings import FiringAlert
from monitoring.selectors import Period

MAX_LINES = 100
ROLLOUT = "rollout"


def list_period_alerts(served: ServedVersion, period: Period) -> tuple[AlertLine, ...]:
    """Return the alerts of a version that were active in a period, the latest first."""
    found = Alert.objects.filter(
        Q(resolved_at__isnull=True) | Q(resolved_at__gte=period.start),
        endpoint=served.endpoint, version=served.version, started_at__lte=period.end,
    ).order_by("-started_at", "-pk")[:MAX_LINES]  # fmt: skip
    return tuple(_alert_line(alert) for alert in found)


def firing_at_end(alerts: tuple[AlertLine, ...], period: Period) -> list[FiringAlert]:
    """Return those of the alerts that fired when the period ended."""
    return [
        FiringAlert(rule=alert.rule, severity=alert.severity, since=alert.fired_at)
        for alert in alerts
        if alert.fired_at is not None
        and alert.fired_at <= period.end
        and (alert.resolved_at is None or alert.resolved_at > period.end)
    ]


def list_period_rollouts(served: ServedVersion, period: Period) -> tuple[RolloutLine, ...]:
    """Return the endpoint's rollouts of a period and what rules did to it by themselves, the latest first."""
    lines = [*_rollouts(served.endpoint, period), *_actions(served.endpoint, period)]
    return tuple(sorted(lines, key=lambda line: line.at, reverse=True)[:MAX_LINES])


def _rollouts(endpoint: str, period: Period) -> list[RolloutLine]:
    """Return each rollout that went on in the period: as it stands, or as it ended."""
    found = Rollout.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gte=period.start), endpoint=endpoint, created_at__lte=period.end
    )[:MAX_LINES]
    return [
        RolloutLine(
            at=rollout.ended_at or rollout.created_at, kind=ROLLOUT, state=rollout.get_state_display().lower(),
            by=rollout.started_by, text=_rollout_text(rollout), id=rollout.pk, champion=rollout.champion,
            challenger=rollout.challenger, outcome="" if rollout.is_active else rollout.state,
            started_at=rollout.created_at, ended_at=rollout.ended_at,
        )
        for rollout in found
    ]  # fmt: skip


def _rollout_text(rollout: Rollout) -> str:
    said = rollout.reason or (rollout.waiting_for if rollout.is_active else "")
    return f"version {rollout.challenger} instead of {rollout.champion}{f': {said}' if said else ''}"


def _actions(endpoint: str, period: Period) -> list[RolloutLine]:
    found = ActionRun.objects.filter(
        endpoint=endpoint, created_at__gte=period.start, created_at__lte=period.end
    ).select_related("alert")[:MAX_LINES]
    return [
        RolloutLine(
            at=run.finished_at or run.created_at, kind=run.kind, state=run.state, by=f"rule '{run.alert.rule_name}'",
            text=f"{run.kind} away from version {run.version}{f': {run.error}' if run.error else ''}",
        )
        for run in found
    ]  # fmt: skip


def find_lineage(served: ServedVersion) -> LineageSection:
    """Return where a version comes from; training being away costs only the run's part."""
    lineage, error = None, ""
    try:
        lineage = training_client().get_lineage(served.model, served.version)
    except PlatformError as problem:
        error = problem.message
    return LineageSection(
        artifact_uri=served.artifact_uri, artifact_digest=served.artifact_digest, lineage=lineage, error=error
    )


def _alert_line(alert: Alert) -> AlertLine:
    return AlertLine(
        id=alert.pk, rule=alert.rule_name, severity=alert.severity, state=alert.state, started_at=alert.started_at,
        fired_at=alert.fired_at, resolved_at=alert.resolved_at, message=alert.message,
    )  # fmt: skip
