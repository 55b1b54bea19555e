"""Pages of monitoring in the console."""

from monitoring.admin import alerts, predictions, report_schedules, reports, rollouts, store

__all__ = ["alerts", "predictions", "report_schedules", "reports", "rollouts", "store"]
