"""Reads of schedules and stored reports for pages, APIs and commands."""

from __future__ import annotations

from django.db.models import Count, QuerySet

from aiplatform.errors import NotFoundError
from monitoring.models.reports import ReportSchedule, StoredReport


def list_schedules() -> QuerySet[ReportSchedule]:
    """Return all schedules with their channels and `report_count`."""
    found = ReportSchedule.objects.prefetch_related("channels")
    return found.annotate(report_count=Count("reports", distinct=True)).order_by("name")


def get_schedule(name: str) -> ReportSchedule:
    """Return a schedule by name.

    Raises: NotFoundError naming the schedules there are.
    """
    schedule = ReportSchedule.objects.filter(name=name).first()
    if schedule is None:
        names = ", ".join(ReportSchedule.objects.values_list("name", flat=True)) or "none"
        raise NotFoundError(f"there is no report schedule '{name}'; there are: {names}")
    return schedule


def list_stored() -> QuerySet[StoredReport]:
    """Return all stored reports, the latest period first."""
    return StoredReport.objects.select_related("schedule").prefetch_related("deliveries__channel")


def get_stored(report_id: int) -> StoredReport:
    """Return one stored report.

    Raises: NotFoundError.
    """
    report = list_stored().filter(pk=report_id).first()
    if report is None:
        raise NotFoundError(f"there is no stored report {report_id}")
    return report
