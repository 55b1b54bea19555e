"""Which routes take an alert, and which channels it goes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from monitoring.alerts.matchers import all_match
from monitoring.models.alerts import Alert, AlertRule, Channel, Route

DEFAULT_ROUTE = "Everything else"
ALL_LABELS = "..."


def ensure_default_route() -> Route:
    """Return the route that takes what no other takes; make it if it is not there."""
    route, _ = Route.objects.get_or_create(is_default=True, defaults={"name": DEFAULT_ROUTE, "position": 1_000_000})
    return route


def list_routes() -> list[Route]:
    """Return all routes in the order in which they are asked, the default one last."""
    default = ensure_default_route()
    return [*Route.objects.filter(is_default=False).order_by("position", "pk"), default]


def routes_of(labels: Mapping[str, str], routes: Iterable[Route] | None = None) -> list[Route]:
    """Return the routes that take an alert with these labels: the first that matches, and those after a `continues`."""
    taken: list[Route] = []
    for route in list_routes() if routes is None else routes:
        if route.is_default and taken:
            break
        if all_match(route.matchers, labels):
            taken.append(route)
            if not route.continues:
                break
    return taken


def group_labels(route: Route, labels: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that an alert shares with all others of its group."""
    if ALL_LABELS in route.group_by:
        return dict(sorted(labels.items()))
    return {name: labels.get(name, "") for name in sorted(route.group_by)}


def channels_of_rule(rule: AlertRule | None) -> list[Channel]:
    """Return the channels that a rule names itself, whatever their state."""
    return sorted(rule.channels.all(), key=lambda channel: channel.pk) if rule else []


def channels_of_route(route: Route) -> list[Channel]:
    """Return the enabled channels of a route; the default channels if it names none."""
    named = list(route.channels.order_by("pk"))
    if named:
        return [channel for channel in named if channel.is_enabled]
    return list(Channel.objects.filter(is_default=True, is_enabled=True).order_by("pk"))


def channels_of_alert(alert: Alert, rule: AlertRule | None) -> list[Channel]:
    """Return the enabled channels that an alert's messages go to: the rule's own, else its routes'."""
    named = channels_of_rule(rule)
    if named:
        return [channel for channel in named if channel.is_enabled]
    found = {channel.pk: channel for route in routes_of(alert.labels) for channel in channels_of_route(route)}
    return list(found.values())
