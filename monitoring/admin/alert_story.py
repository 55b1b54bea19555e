"""What an alert's page tells: the value beside its threshold, a chart, the timeline, who was told."""

from __future__ import annotations

from typing import Any

from aiplatform.console.charts import line_chart
from monitoring.alerts.judgement import format_number
from monitoring.alerts.vocabulary import Comparison
from monitoring.models.alerts import ActionRun, Alert


def alert_story(alert: Alert) -> dict[str, Any]:
    """Return the context of the story's template."""
    return {
        "alert": alert,
        "value": format_number(alert.value),
        "relation": Comparison(alert.comparison).label,
        "threshold": format_number(alert.threshold),
        "chart": line_chart(
            title=f"{alert.measured_name} of {alert.endpoint} version {alert.version}",
            series={alert.measured_name: [(at, value) for at, value in alert.history]},
            x_label="time (UTC)",
            y_label=alert.measured_name,
            x_is_time=True,
            thresholds={"threshold": alert.threshold},
        ),
        "events": list(alert.events.all()),
        "groups": [member.group for member in alert.memberships.select_related("group__route")],
        "notifications": list(alert.notifications.select_related("channel").order_by("pk")),
        "action": ActionRun.objects.filter(alert=alert).first(),
    }
