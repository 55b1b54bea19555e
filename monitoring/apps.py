"""Wires the monitoring app into the process."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "monitoring"
    verbose_name = "Monitoring"

    def ready(self) -> None:
        """Register checks and wiring."""
        from monitoring.alerts.wire import wire_alerts
        from monitoring.reports.wire import wire_reports
        from monitoring.rollouts.wire import wire_rollouts
        from monitoring.wire import wire_statistics

        wire_statistics()
        wire_reports()
        wire_alerts()
        wire_rollouts()
