"""Pages of monitoring in the console."""

from monitoring.admin import alerts, reports

__all__ = ["alerts", "reports"]
