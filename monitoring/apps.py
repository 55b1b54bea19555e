"""Wires the monitoring app into the process."""

from importlib.util import find_spec

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Announce to the kernel what this app runs."""

    name = "monitoring"
    verbose_name = "Monitoring"

    def ready(self) -> None:
        """Register checks and wiring."""
        if find_spec("monitoring.alerts.wire"):
            from monitoring.alerts.wire import wire_alerts

            wire_alerts()
