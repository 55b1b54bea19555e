"""Pages of monitoring in the console."""

from monitoring.admin import alerts, predictions, reports, rollouts, store

__all__ = ["alerts", "predictions", "reports", "rollouts", "store"]
