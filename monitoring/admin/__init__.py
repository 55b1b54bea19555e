"""Pages of monitoring in the console."""

from monitoring.admin import alerts, predictions, reports, store

__all__ = ["alerts", "predictions", "reports", "store"]
