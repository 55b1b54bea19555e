"""Tables of alerts, one noun a module."""

from monitoring.models.alerts.actions import ActionRun
from monitoring.models.alerts.alerts import Alert, AlertEvent
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.notifications import Notification
from monitoring.models.alerts.rules import AlertRule, ShippedRule
from monitoring.models.alerts.silences import Silence
from monitoring.models.alerts.targets import RuleTarget

__all__ = [
    "ActionRun",
    "Alert",
    "AlertEvent",
    "AlertRule",
    "Channel",
    "Notification",
    "RuleTarget",
    "ShippedRule",
    "Silence",
]
