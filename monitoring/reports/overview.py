"""How all versions in use are doing, a line each: the home page's panel and the list of reports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.safestring import SafeString

from aiplatform.console.charts import sparkline
from monitoring.drift.results import ColumnDrift, Verdict
from monitoring.models import ServedVersion
from monitoring.reports.document import PerformanceReport
from monitoring.reports.page import percent
from monitoring.reports.report import build_report
from monitoring.selectors import list_active_served, list_served_versions

SHOWN_FOR = timedelta(days=1)
MAX_LINES = 20


@dataclass(frozen=True, kw_only=True)
class OverviewLine:
    """One version over the last DRIFT_PERIOD_S."""

    served: ServedVersion
    url: str
    report: PerformanceReport
    throughput_per_s: float
    accuracy: str
    worst: ColumnDrift | None
    traffic: SafeString
    latency: SafeString


def list_overview(*, now: datetime | None = None, limit: int = MAX_LINES) -> list[OverviewLine]:
    """Return the versions used in the last day, last used first, at most `limit`."""
    now = now or datetime.now(UTC)
    recent = sorted(list_active_served(now - SHOWN_FOR), key=lambda served: served.last_seen_at, reverse=True)
    return [_line(served, now) for served in recent[:limit]]


def list_choices() -> list[tuple[str, str]]:
    """Return the versions that have predictions as a form's choices: 'endpoint:version' and its name."""
    found = {(served.endpoint, served.version) for served in list_served_versions()}
    return [(f"{endpoint}:{version}", f"{endpoint} version {version}") for endpoint, version in sorted(found)]


def overview_panel() -> dict[str, Any]:
    """Return what the home page's panel shows."""
    minutes = settings.DRIFT_PERIOD_S / 60
    return {"lines": list_overview(limit=8), "list_url": reverse("admin:monitoring-reports"), "minutes": f"{minutes:g}"}


def report_url(endpoint: str, version: int) -> str:
    """Return the address of a version's report page."""
    return reverse("admin:monitoring-report", args=[endpoint, version])


def worst_feature(report: PerformanceReport) -> ColumnDrift | None:
    """Return the feature that drifted most; None if none was judged."""
    judged = [c for c in report.drift.features if c.verdict is not Verdict.NOT_ENOUGH_DATA]
    return max(judged, key=lambda column: column.statistic("psi") or 0.0, default=None)


def _line(served: ServedVersion, now: datetime) -> OverviewLine:
    report = build_report(endpoint=served.endpoint, version=served.version, period_s=settings.DRIFT_PERIOD_S, now=now)
    return OverviewLine(
        served=served,
        url=report_url(served.endpoint, served.version),
        report=report,
        throughput_per_s=report.traffic.throughput_per_s,
        accuracy=percent(report.accuracy.value),
        worst=worst_feature(report),
        traffic=sparkline([point.throughput_per_s for point in report.series], label="predictions per second"),
        latency=sparkline([point.latency_p95_ms for point in report.series], label="p95 latency, ms"),
    )
