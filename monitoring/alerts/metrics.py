"""What Prometheus is told about alerts."""

from prometheus_client import Counter, Gauge, Histogram

FIRING = Gauge("aiplatform_alerts_firing", "Alerts that are firing", ["severity"], multiprocess_mode="mostrecent")
NOTIFICATIONS = Counter("aiplatform_alert_notifications_total", "Attempts to notify, by their outcome", ["outcome"])
ACTIONS = Counter("aiplatform_alert_actions_total", "Actions of rules, by their outcome", ["action", "outcome"])
EVALUATIONS = Counter("aiplatform_alert_evaluations_total", "Evaluations of a rule on a version", ["verdict"])
EVALUATION_SECONDS = Histogram("aiplatform_alert_evaluation_seconds", "Duration of one evaluation of all rules")
