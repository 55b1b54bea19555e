"""Pages of monitoring in the console."""

from monitoring.admin import alerts, predictions, reports

__all__ = ["alerts", "predictions", "reports"]
