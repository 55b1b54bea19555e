"""Makes and sends reports at once, because somebody asked, over the same rows as the clock does."""

from __future__ import annotations

from datetime import datetime

from aiplatform.errors import InvalidInputError, UnavailableError
from monitoring.alerts.channels import deliver
from monitoring.models.alerts import Channel
from monitoring.models.reports import (
    DeliveryState,
    ReportDelivery,
    ReportSchedule,
    ReportState,
    StoredReport,
    channel_problem,
)
from monitoring.reports.delivery import send_due_reports
from monitoring.reports.periods import last_finished
from monitoring.reports.schedules import claim_report, enqueue_deliveries, make_report, order_report, plan_single
from monitoring.selectors import Period


def send_schedule(schedule: ReportSchedule, *, now: datetime) -> list[StoredReport]:
    """Make what a schedule's last period still lacks and send it once more to its channels.

    Raises: UnavailableError if there is nothing to report on.
    """
    reports = order_report(schedule, now=now)
    if not reports:
        end = last_finished(schedule.period, schedule.time_zone, now, cron=schedule.cron)[1]
        raise UnavailableError(
            f"the schedule '{schedule.name}' has nothing to report on: no version of '{schedule.endpoint}' had "
            f"predictions before its last period ended, at {end:%Y-%m-%d %H:%M} UTC"
        )
    channels = list(schedule.channels.filter(is_enabled=True))
    for report in reports:
        _send(report, channels, now)
    return reports


def send_report(endpoint: str, version: int, period: Period, channel: Channel, *, now: datetime) -> StoredReport:
    """Make a report, keep it and send it to a channel.

    Raises: InvalidInputError if the channel can carry no report.
    """
    if problem := channel_problem([channel]):
        raise InvalidInputError(problem)
    report = plan_single(endpoint, version, period, now=now)
    _send(report, [channel], now)
    return report


def _send(report: StoredReport, channels: list[Channel], now: datetime) -> None:
    if report.state == ReportState.PLANNED and claim_report(report, now):
        make_report(report, now=now, channels=channels)
    if report.state == ReportState.READY:
        enqueue_deliveries(report, channels, now=now)
        ReportDelivery.objects.filter(
            report=report, channel__in=channels, state__in=[DeliveryState.SENT, DeliveryState.FAILED]
        ).update(state=DeliveryState.PENDING, attempts=0, next_attempt_at=now)
        send_due_reports(deliver=deliver, clock=lambda: now)
    report.refresh_from_db()
