"""What Prometheus is told about alerts."""

from prometheus_client import Counter, Gauge, Histogram

_TARGET = ["rule", "endpoint", "version"]

FIRING = Gauge(
    "aiplatform_alerts_firing", "Alerts that fired and are not over", ["severity"], multiprocess_mode="mostrecent"
)
NOTIFICATIONS = Counter("aiplatform_alert_notifications_total", "Attempts to notify, by their outcome", ["outcome"])
PUSHES = Counter("aiplatform_alertmanager_pushes_total", "Pushes to an Alertmanager, by their outcome", ["outcome"])
ACTIONS = Counter("aiplatform_alert_actions_total", "Actions of rules, by their outcome", ["action", "outcome"])
EVALUATIONS = Counter("aiplatform_alert_evaluations_total", "Evaluations of a rule on a version", ["verdict"])
EVALUATION_SECONDS = Histogram("aiplatform_alert_evaluation_seconds", "Duration of one evaluation of all rules")
EVALUATION_DELAY_SECONDS = Gauge(
    "aiplatform_alert_evaluation_delay_seconds",
    "From the end of a slot to the end of its evaluation",
    multiprocess_mode="mostrecent",
)
RULE_VALUE = Gauge(
    "aiplatform_alert_rule_value",
    "What a rule compares with its threshold; NaN: no data",
    _TARGET,
    multiprocess_mode="mostrecent",
)
RULE_SAMPLES = Gauge(
    "aiplatform_alert_rule_samples", "Samples that a rule's value stands on", _TARGET, multiprocess_mode="mostrecent"
)
RULE_VERDICT = Gauge(
    "aiplatform_alert_rule_verdict",
    "What a rule found: 0 well, 1 wrong, 2 no data, 3 error",
    _TARGET,
    multiprocess_mode="mostrecent",
)
