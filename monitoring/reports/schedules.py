"""Scheduled reports: each period's is planned once and made once, by however many clocks.

A plan is a row that a unique constraint makes single. A clock claims it for a while and counts the attempt;
what it made counts only if the attempt is still its own. A clock that dies leaves a claim that ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from aiplatform.errors import ArtifactError, PlatformError
from aiplatform.storage import join_uri
from monitoring.alerts.notifications import Backoff
from monitoring.models.alerts import Channel
from monitoring.models.reports import (
    EVERY_ENDPOINT,
    ReportDelivery,
    ReportSchedule,
    ReportScope,
    ReportState,
    StoredReport,
)
from monitoring.models.windows import ServedVersion
from monitoring.reports.document import PerformanceReport, decode_report, encode_report
from monitoring.reports.periods import Span, last_finished, list_finished
from monitoring.reports.report import build_period_report
from monitoring.reports.store import StoredFile, read_document, remove_document, write_document
from monitoring.selectors import Period, list_served_versions, list_windows

CLAIM_S = 300.0  # longer than a report takes; then another clock may try
CAUGHT_UP = 7  # periods of a schedule that are made after an outage, at most
SILENT_FOR = timedelta(days=30)  # an endpoint that served nothing is still reported on, for so long
BACKOFF = Backoff(attempts=5, first_s=60.0, longest_s=3600.0)
_UNFINISHED = (ReportState.PLANNED, ReportState.WORKING)
log = structlog.get_logger(__name__)


def plan_reports(*, now: datetime) -> int:
    """Plan the reports of all periods that are over; return how many are new."""
    return sum(_plan_schedule(schedule, now) for schedule in ReportSchedule.objects.filter(is_enabled=True))


def make_due_reports(*, now: datetime) -> int:
    """Make the reports that are planned, and return how many were made."""
    return sum(make_report(report, now=now) for report in list_due(now) if claim_report(report, now))


def order_report(schedule: ReportSchedule, *, now: datetime) -> list[StoredReport]:
    """Return the reports of a schedule's last period; those that nobody planned yet are planned now."""
    span = last_finished(schedule.period, schedule.time_zone, now, cron=schedule.cron)
    _plan_period(schedule, span, now)
    return list(schedule.reports.filter(period_start=span[0], period_end=span[1]))


def plan_single(endpoint: str, version: int, period: Period, *, now: datetime) -> StoredReport:
    """Plan a report that no schedule asks for."""
    return StoredReport.objects.create(
        endpoint=endpoint, version=version, period_start=period.start, period_end=period.end,
        next_attempt_at=now, planned_at=now,
    )  # fmt: skip


def list_due(now: datetime) -> list[StoredReport]:
    """Return the reports that may be claimed: due ones, and those whose process was lost."""
    due: Q = Q(state=ReportState.PLANNED, next_attempt_at__lte=now)
    lost: Q = Q(state=ReportState.WORKING, claimed_until__lte=now)
    return list(StoredReport.objects.filter(due | lost).order_by("pk")[:100])


def claim_report(report: StoredReport, now: datetime) -> bool:
    """Take a report for this process; say whether it is ours."""
    claimed = StoredReport.objects.filter(pk=report.pk, state=report.state, attempts=report.attempts).update(
        state=ReportState.WORKING, attempts=F("attempts") + 1, claimed_until=now + timedelta(seconds=CLAIM_S)
    )
    report.attempts += 1
    return bool(claimed)


def make_report(report: StoredReport, *, now: datetime, channels: list[Channel] | None = None) -> bool:
    """Make a claimed report, keep it, and put its messages out; say whether it became ours to do so.

    `channels` instead of the schedule's.
    """
    if report.attempts > BACKOFF.attempts:
        _finish(report, state=ReportState.FAILED, error=report.error or "its process was lost again and again")
        return False
    last_moment = report.period_end - timedelta(microseconds=1)
    try:
        made = build_period_report(
            endpoint=report.endpoint, version=report.version, period=Period(start=report.period_start, end=last_moment),
            now=now,
        )  # fmt: skip
        file = write_document(_uri(report), encode_report(made))
    except PlatformError as error:
        _note_failure(report, error.message, now)
        return False
    except Exception as error:
        log.exception("report_failed", report=report.pk)  # and on to the next: one's trouble must not stop the others
        _note_failure(report, f"{type(error).__name__}: {error}", now)
        return False
    return _keep(report, made, file, now, channels)


def read_stored(report: StoredReport) -> PerformanceReport:
    """Return a stored report.

    Raises: ArtifactError if it is not ready, gone or damaged; InvalidInputError if its schema is another.
    """
    return decode_report(read_stored_json(report))


def read_stored_json(report: StoredReport) -> bytes:
    """Return a stored report as JSON.

    Raises: ArtifactError if it is not ready, gone or damaged.
    """
    if report.state != ReportState.READY:
        raise ArtifactError(f"report {report.pk} is {report.state}{f': {report.error}' if report.error else ''}")
    return read_document(report.uri, sha256=report.sha256)


def delete_old_reports(*, now: datetime) -> int:
    """Remove reports past REPORT_RETENTION_DAYS, their files first; return how many went."""
    oldest = now - timedelta(days=settings.REPORT_RETENTION_DAYS)
    removed = 0
    for report in StoredReport.objects.filter(period_end__lt=oldest).exclude(state__in=_UNFINISHED)[:500]:
        if report.uri:
            remove_document(report.uri)
        report.delete()
        removed += 1
    return removed


def _plan_schedule(schedule: ReportSchedule, now: datetime) -> int:
    ready = now - timedelta(seconds=settings.REPORT_DELAY_S)
    spans = list_finished(
        schedule.period, schedule.time_zone, since=schedule.created_at, now=ready, limit=CAUGHT_UP, cron=schedule.cron
    )  # fmt: skip
    done = set(schedule.reports.filter(period_end__gt=schedule.created_at).values_list("period_start", flat=True))
    return sum(_plan_period(schedule, span, now) for span in spans if span[0] not in done)


def _plan_period(schedule: ReportSchedule, span: Span, now: datetime) -> int:
    rows = [
        StoredReport(
            schedule=schedule, schedule_name=schedule.name, endpoint=endpoint, version=version,
            period_start=span[0], period_end=span[1], next_attempt_at=now, planned_at=now,
        )
        for endpoint, version in _targets(schedule, span)
    ]  # fmt: skip
    before = schedule.reports.count()
    StoredReport.objects.bulk_create(rows, ignore_conflicts=True)
    return schedule.reports.count() - before


def _targets(schedule: ReportSchedule, span: Span) -> list[tuple[str, int]]:
    known = list_served_versions(None if schedule.endpoint == EVERY_ENDPOINT else schedule.endpoint)
    if schedule.version_scope == ReportScope.ONE:
        version = schedule.version or 0
        return [(schedule.endpoint, version)] if known.filter(version=version).exists() else []
    by_endpoint: dict[str, list[ServedVersion]] = {}
    for served in known.filter(first_seen_at__lt=span[1], last_seen_at__gte=span[0] - SILENT_FOR):
        by_endpoint.setdefault(served.endpoint, []).append(served)
    return [pair for endpoint, served in by_endpoint.items() for pair in _serving(endpoint, served, span)]


def _serving(endpoint: str, served: list[ServedVersion], span: Span) -> list[tuple[str, int]]:
    """Return the versions with traffic in a period; of a silent endpoint the one seen last, for silence is news."""
    period = Period(start=span[0], end=span[1] - timedelta(microseconds=1))
    busy = set(list_windows(endpoint, None, period).order_by().values_list("served__version", flat=True))
    return [(endpoint, version) for version in sorted(busy)] or [(endpoint, served[0].version)]


def _keep(
    report: StoredReport, made: PerformanceReport, file: StoredFile, now: datetime, channels: list[Channel] | None
) -> bool:
    with transaction.atomic():
        is_ours = _finish(
            report, state=ReportState.READY, error="", uri=file.uri, sha256=file.sha256, size_bytes=file.size_bytes,
            health=made.verdict.health.value, headline=made.verdict.headline[:500], made_at=now,
        )  # fmt: skip
        if is_ours:
            enqueue_deliveries(report, _channels(report) if channels is None else channels, now=now)
    if not is_ours:
        remove_document(file.uri)  # another process has made it since
    log.info("report_made", endpoint=report.endpoint, version=report.version, report=report.pk, is_kept=is_ours)
    return is_ours


def enqueue_deliveries(report: StoredReport, channels: list[Channel], *, now: datetime) -> None:
    """Put a report out to channels, once each."""
    rows = [ReportDelivery(report=report, channel=channel, next_attempt_at=now) for channel in channels]
    ReportDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def _channels(report: StoredReport) -> list[Channel]:
    return list(report.schedule.channels.filter(is_enabled=True)) if report.schedule else []


def _note_failure(report: StoredReport, error: str, now: datetime) -> None:
    log.warning("report_failed", endpoint=report.endpoint, version=report.version, report=report.pk, error=error)
    if report.attempts >= BACKOFF.attempts:
        _finish(report, state=ReportState.FAILED, error=error)
        return
    pause = timedelta(seconds=BACKOFF.delay_s(report.attempts))
    _finish(report, state=ReportState.PLANNED, error=error, next_attempt_at=now + pause)


def _finish(report: StoredReport, **changes: object) -> bool:
    ours = StoredReport.objects.filter(pk=report.pk, state=ReportState.WORKING, attempts=report.attempts)
    is_ours = bool(ours.update(claimed_until=None, **changes))
    if is_ours:
        report.refresh_from_db()
    return is_ours


def _uri(report: StoredReport) -> str:
    name = f"{report.period_start:%Y%m%dT%H%M}-{report.period_end:%Y%m%dT%H%M}-{report.pk}-{report.attempts}.json.gz"
    return join_uri(settings.REPORT_STORE, report.endpoint, f"v{report.version}", name)
