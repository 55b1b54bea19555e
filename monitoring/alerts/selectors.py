"""Reads of alerts for pages, APIs and commands."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable

from aiplatform.errors import NotFoundError
from monitoring.alerts.vocabulary import STANDING_STATES, AlertState, Severity
from monitoring.models.alerts import (
    Alert,
    AlertGroup,
    AlertRule,
    Channel,
    Inhibition,
    Notification,
    QuietHours,
    Route,
    RuleTarget,
    Silence,
)


def list_alerts() -> QuerySet[Alert]:
    """Return all alerts: firing first, then pending, the worst and the newest first."""
    return Alert.objects.select_related("rule", "silence").order_by(*urgency_order())


def urgency_order() -> tuple[Combinable | str, ...]:
    """Return the order of alerts in which people should look at them."""
    by_state = _rank("state", [*STANDING_STATES, AlertState.PENDING, AlertState.RESOLVED])
    return by_state, _rank("severity", list(Severity)), "-started_at", "-pk"


def list_firing_alerts() -> QuerySet[Alert]:
    """Return the alerts that fired and are not over, the worst first."""
    return list_alerts().filter(state__in=STANDING_STATES)


def get_alert(alert_id: int) -> Alert:
    """Return one alert.

    Raises: NotFoundError.
    """
    alert = Alert.objects.select_related("rule", "silence").filter(pk=alert_id).first()
    if alert is None:
        raise NotFoundError(f"there is no alert {alert_id}")
    return alert


def list_rules() -> QuerySet[AlertRule]:
    """Return all rules with their channels and `firing_count`."""
    firing = Count("alerts", filter=Q(alerts__state__in=STANDING_STATES), distinct=True)
    return AlertRule.objects.prefetch_related("channels", "quiet_hours").annotate(firing_count=firing).order_by("name")


def list_rule_targets(rule: AlertRule) -> QuerySet[RuleTarget]:
    """Return what a rule watches, with what was found there last."""
    return rule.targets.select_related("alert").order_by("endpoint", "version")


def list_channels() -> QuerySet[Channel]:
    """Return all channels."""
    return Channel.objects.order_by("name")


def get_channel(name: str) -> Channel:
    """Return a channel by name.

    Raises: NotFoundError naming the channels there are.
    """
    channel = Channel.objects.filter(name=name).first()
    if channel is None:
        raise NotFoundError(f"there is no channel '{name}'; there are: {_names(list_channels())}")
    return channel


def get_rule(name: str) -> AlertRule:
    """Return a rule by name.

    Raises: NotFoundError naming the rules there are.
    """
    rule = AlertRule.objects.filter(name=name).first()
    if rule is None:
        raise NotFoundError(f"there is no rule '{name}'; there are: {_names(AlertRule.objects.order_by('name'))}")
    return rule


def list_silences() -> QuerySet[Silence]:
    """Return all silences, those that end last first."""
    return Silence.objects.order_by("-ends_at", "-pk")


def list_active_silences(now: datetime) -> QuerySet[Silence]:
    """Return the silences that hold now."""
    return list_silences().filter(starts_at__lte=now, ends_at__gt=now)


def list_notifications() -> QuerySet[Notification]:
    """Return all notifications, the newest first."""
    return (
        Notification.objects.select_related("alert", "channel", "group")
        .prefetch_related("alerts")
        .order_by("-created_at", "-pk")
    )


def list_routes() -> QuerySet[Route]:
    """Return all routes in the order in which they are asked."""
    return Route.objects.prefetch_related("channels", "escalations__channels").order_by("is_default", "position", "pk")


def list_inhibitions() -> QuerySet[Inhibition]:
    """Return all inhibitions."""
    return Inhibition.objects.order_by("name")


def list_quiet_hours() -> QuerySet[QuietHours]:
    """Return all quiet hours."""
    return QuietHours.objects.order_by("name")


def list_groups() -> QuerySet[AlertGroup]:
    """Return the groups with something in them first, the newest first, with `member_count`."""
    counted = AlertGroup.objects.select_related("route").annotate(member_count=Count("members"))
    return counted.prefetch_related("members__alert", "channels").order_by(
        Case(When(next_flush_at=None, then=Value(1)), default=Value(0), output_field=IntegerField()),
        "-opened_at",
        "-pk",
    )


def list_rule_alerts(rule: AlertRule) -> QuerySet[Alert]:
    """Return a rule's alerts, the newest first."""
    return Alert.objects.filter(rule=rule).order_by("-started_at", "-pk")


def _rank(field: str, order: Iterable[str]) -> Case:
    whens = [When(**{field: value}, then=Value(place)) for place, value in enumerate(order)]
    return Case(*whens, default=Value(99), output_field=IntegerField())


def _names(rows: QuerySet[Channel] | QuerySet[AlertRule]) -> str:
    return ", ".join(rows.values_list("name", flat=True)) or "none"
