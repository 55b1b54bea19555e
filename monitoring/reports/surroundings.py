"""What happened around a version in a period: alerts, rollouts, and where it comes from."""

from __future__ import annotations

from django.db.models import Q

from aiplatform.errors import PlatformError
from aiplatform.services import training_client
from monitoring.models import ServedVersion
from monitoring.models.alerts import ActionRun, Alert
from monitoring.reports.document import AlertLine, LineageSection, RolloutLine
from monitoring.reports.findings import FiringAlert
from monitoring.selectors import Period

MAX_LINES = 100


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
    """Return what rules did by themselves to the endpoint in a period, the latest first."""
    found = ActionRun.objects.filter(
        endpoint=served.endpoint, created_at__gte=period.start, created_at__lte=period.end
    ).select_related("alert")[:MAX_LINES]
    return tuple(
        RolloutLine(
            at=run.finished_at or run.created_at, kind=run.kind, state=run.state, by=f"rule '{run.alert.rule_name}'",
            text=f"{run.kind} away from version {run.version}{f': {run.error}' if run.error else ''}",
        )
        for run in found
    )  # fmt: skip


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
