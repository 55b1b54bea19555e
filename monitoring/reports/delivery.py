"""Sends stored reports to channels: a summary in words, a link, and the HTML file where the channel can carry it.

At least once: a process that dies between sending and noting it sends again after its claim ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from django.conf import settings
from django.db.models import F, Q

from aiplatform.errors import PlatformError
from monitoring.alerts.notifications import Backoff, Delivery
from monitoring.models.alerts import Channel
from monitoring.models.reports import DeliveryState, ReportDelivery, channel_problem
from monitoring.reports.document import PerformanceReport
from monitoring.reports.html import file_name, report_html
from monitoring.reports.page import WORST
from monitoring.reports.schedules import read_stored
from monitoring.reports.verdict import Health

CLAIM_S = 300.0  # longer than any delivery takes
BACKOFF = Backoff(attempts=8, first_s=30.0, longest_s=3600.0)
_APPRISE_TONES = {Health.WELL: "success", Health.WATCH: "warning", Health.NOT_WELL: "failure"}
log = structlog.get_logger(__name__)


def send_due_reports(*, deliver: Callable[[Delivery], None], clock: Callable[[], datetime]) -> int:
    """Send what is due, and return how many were sent. `deliver` raises a PlatformError on failure."""
    return sum(_attempt(found, deliver, clock) for found in _list_due(clock()) if _claim(found, clock()))


def report_message(report: PerformanceReport) -> tuple[str, str]:
    """Return title and text of the message that carries a report."""
    begin, end = report.period.start, report.period.end
    when = f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    title = f"[{report.verdict.health.words.upper()}] {report.title}, {when}"
    lines = [f"{report.verdict.headline}."]
    lines += [f"{place}. {finding.text}" for place, finding in enumerate(report.verdict.problems[:WORST], 1)]
    lines += [f"Not known: {gap.text}." for gap in report.verdict.gaps]
    lines.append(f"{report.traffic.predictions:,} predictions in {report.traffic.requests:,} requests.")
    return title, "\n".join(lines)


def stored_link(report_id: int) -> str:
    """Return the address of a stored report's page in the console."""
    return f"{settings.CONSOLE_URL.rstrip('/')}/admin/monitoring/storedreport/{report_id}/show/"


def _list_due(now: datetime) -> list[ReportDelivery]:
    due: Q = Q(state=DeliveryState.PENDING, next_attempt_at__lte=now)
    lost: Q = Q(state=DeliveryState.SENDING, claimed_until__lte=now)
    return list(ReportDelivery.objects.filter(due | lost).select_related("report", "channel").order_by("pk")[:50])


def _claim(found: ReportDelivery, now: datetime) -> bool:
    claimed = ReportDelivery.objects.filter(pk=found.pk, state=found.state, attempts=found.attempts).update(
        state=DeliveryState.SENDING, attempts=F("attempts") + 1, claimed_until=now + timedelta(seconds=CLAIM_S)
    )
    found.attempts += 1
    return bool(claimed)


def _attempt(found: ReportDelivery, deliver: Callable[[Delivery], None], clock: Callable[[], datetime]) -> bool:
    hindrance = _hindrance(found.channel)
    if hindrance:
        _finish(found, state=DeliveryState.FAILED, last_error=hindrance)
        return False
    try:
        _send(found, deliver)
    except PlatformError as error:
        _note_failure(found, error.message, clock())
        return False
    now = clock()
    Channel.objects.filter(pk=found.channel_id).update(last_error="", last_sent_at=now)
    return _finish(found, state=DeliveryState.SENT, last_error="", sent_at=now)


def _hindrance(channel: Channel) -> str:
    """Return why a channel refuses this report, however often it is tried: it may have been changed since."""
    return channel_problem([channel]) if channel.is_enabled else f"the channel '{channel.name}' is disabled"


def _send(found: ReportDelivery, deliver: Callable[[Delivery], None]) -> None:
    report = read_stored(found.report)
    title, body = report_message(report)
    with tempfile.TemporaryDirectory(prefix="report-") as folder:
        file = Path(folder) / file_name(report, "html")
        file.write_text(report_html(report), encoding="utf-8")
        deliver(
            Delivery(
                url=found.channel.url, title=title, body=f"{body}\n{stored_link(found.report_id)}",
                tone=_APPRISE_TONES.get(report.verdict.health, "info"), attachment=str(file),
            )
        )  # fmt: skip


def _note_failure(found: ReportDelivery, error: str, now: datetime) -> None:
    log.warning("report_not_sent", report=found.report_id, channel=found.channel.name, error=error)
    Channel.objects.filter(pk=found.channel_id).update(last_error=error)
    if found.attempts >= BACKOFF.attempts:
        _finish(found, state=DeliveryState.FAILED, last_error=error)
        return
    pause = timedelta(seconds=BACKOFF.delay_s(found.attempts))
    _finish(found, state=DeliveryState.PENDING, last_error=error, next_attempt_at=now + pause)


def _finish(found: ReportDelivery, **changes: object) -> bool:
    ours = ReportDelivery.objects.filter(pk=found.pk, state=DeliveryState.SENDING, attempts=found.attempts)
    return bool(ours.update(claimed_until=None, **changes))
