"""What lists of alerts can be narrowed down by."""

from __future__ import annotations

import django_filters  # type: ignore[import-untyped]
from django.db.models import QuerySet

from monitoring.alerts.vocabulary import AlertState, NotificationKind, NotificationState, Severity
from monitoring.models.alerts import Alert, AlertRule, Notification, Silence


class AlertFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Alerts by state, place, rule, severity, marks and time."""

    state = django_filters.MultipleChoiceFilter(choices=AlertState.choices, help_text="Repeat it for several.")
    severity = django_filters.MultipleChoiceFilter(choices=Severity.choices)
    started_after = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="gte")
    started_before = django_filters.IsoDateTimeFilter(field_name="started_at", lookup_expr="lt")
    is_acknowledged = django_filters.BooleanFilter(field_name="acknowledged_at", lookup_expr="isnull", exclude=True)
    is_silenced = django_filters.BooleanFilter(field_name="silence", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Alert
        fields = ("endpoint", "version", "rule", "rule_name", "metric", "fingerprint")


class RuleFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Rules by what they watch."""

    class Meta:
        model = AlertRule
        fields = ("name", "endpoint", "kind", "metric", "severity", "action", "is_enabled")


class SilenceFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Silences by who made them, and whether they hold at a time."""

    active_at = django_filters.IsoDateTimeFilter(method="filter_active", label="Holds at this time.")

    class Meta:
        model = Silence
        fields = ("created_by", "holds_actions")

    def filter_active(self, silences: QuerySet[Silence], name: str, at: object) -> QuerySet[Silence]:
        """Keep the silences that hold at a time."""
        return silences.filter(starts_at__lte=at, ends_at__gt=at)


class NotificationFilter(django_filters.FilterSet):  # type: ignore[misc]
    """Notifications by alert, group, channel and what became of them."""

    state = django_filters.MultipleChoiceFilter(choices=NotificationState.choices)
    kind = django_filters.MultipleChoiceFilter(choices=NotificationKind.choices)
    alert = django_filters.NumberFilter(field_name="alerts", distinct=True, label="An alert that it tells of.")

    class Meta:
        model = Notification
        fields = ("group", "channel")
