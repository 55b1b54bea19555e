"""Tables of alerts, one noun a module."""

from monitoring.models.alerts.actions import ActionRun
from monitoring.models.alerts.alerts import Alert, AlertEvent
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.groups import AlertGroup, AlertmanagerPush, GroupMember
from monitoring.models.alerts.lease import Lease
from monitoring.models.alerts.notifications import Notification
from monitoring.models.alerts.quiet_hours import QuietHours
from monitoring.models.alerts.routes import Escalation, Inhibition, Route
from monitoring.models.alerts.rules import AlertRule, ShippedRule
from monitoring.models.alerts.silences import Silence
from monitoring.models.alerts.targets import RuleTarget

__all__ = [
    "ActionRun",
    "Alert",
    "AlertEvent",
    "AlertGroup",
    "AlertRule",
    "AlertmanagerPush",
    "Channel",
    "Escalation",
    "GroupMember",
    "Inhibition",
    "Lease",
    "Notification",
    "QuietHours",
    "Route",
    "RuleTarget",
    "ShippedRule",
    "Silence",
]
