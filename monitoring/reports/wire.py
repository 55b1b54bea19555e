"""What reports tell the kernel: the clock's jobs that plan, make, send and forget them."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import register
from django.utils import timezone

from aiplatform.checks import SETTINGS
from aiplatform.roles import MONITORING
from aiplatform.wiring import Job, wiring
from monitoring.reports.checks import check_report_settings


def wire_reports() -> None:
    """Announce reports to the kernel; called once, when the app is ready."""
    register(check_report_settings, SETTINGS)
    if MONITORING in settings.ROLES:
        wiring.add_job(Job(name="reports-make", interval_s=30.0, run=make_reports))
        wiring.add_job(Job(name="reports-send", interval_s=10.0, run=send_reports))
        wiring.add_job(Job(name="reports-tidy", interval_s=3600.0, run=tidy_reports))


def make_reports() -> None:
    """Plan what is over and make what is due."""
    from monitoring.reports.schedules import make_due_reports, plan_reports

    plan_reports(now=timezone.now())
    make_due_reports(now=timezone.now())


def send_reports() -> None:
    """Send the reports that are due."""
    from monitoring.alerts.channels import deliver
    from monitoring.reports.delivery import send_due_reports

    send_due_reports(deliver=deliver, clock=timezone.now)


def tidy_reports() -> None:
    """Forget reports that have outlived their retention."""
    from monitoring.reports.schedules import delete_old_reports

    delete_old_reports(now=timezone.now())
