"""What the statistics tell the kernel: jobs of the clock, a panel on the home page, checks."""

from __future__ import annotations

from django.conf import settings
from django.core.checks import register

from aiplatform.checks import SETTINGS
from aiplatform.roles import MONITORING
from aiplatform.wiring import Job, Panel, wiring
from monitoring.checks import check_monitoring_settings
from monitoring.store.checks import check_store_settings


def wire_statistics() -> None:
    """Announce the statistics to the kernel; called once, when the app is ready."""
    from monitoring.feedback import join_pending_feedback
    from monitoring.gauges import update_gauges
    from monitoring.performance.changes import detect_changes
    from monitoring.performance.rollup import roll_up_performance
    from monitoring.reports.overview import overview_panel
    from monitoring.retention import clean_up
    from monitoring.rollup import roll_up_windows
    from monitoring.store.maintenance import tidy_store

    register(check_monitoring_settings, SETTINGS)
    register(check_store_settings, SETTINGS)
    wiring.add_panel(
        Panel(name="performance", order=25, template="monitoring/reports/panel.html", context=overview_panel)
    )
    if MONITORING in settings.ROLES:
        wiring.add_job(Job(name="statistics-gauges", interval_s=15.0, run=update_gauges))
        wiring.add_job(Job(name="feedback-join", interval_s=15.0, run=join_pending_feedback))
        wiring.add_job(Job(name="change-detectors", interval_s=15.0, run=detect_changes))
        wiring.add_job(Job(name="statistics-rollup", interval_s=60.0, run=roll_up_windows))
        wiring.add_job(Job(name="performance-rollup", interval_s=300.0, run=roll_up_performance))
        wiring.add_job(Job(name="statistics-tidy", interval_s=300.0, run=clean_up))
        wiring.add_job(Job(name="prediction-store-tidy", interval_s=60.0, run=tidy_store))
