"""Pages of routes with their escalations, and of the groups that are open now."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from monitoring.admin.alert_forms import EscalationForm, RouteForm
from monitoring.admin.read_only import ReadOnlyAdmin
from monitoring.alerts import selectors
from monitoring.alerts.durations import duration_text
from monitoring.models.alerts import AlertGroup, Escalation, Route


class EscalationInline(TabularInline):  # type: ignore[misc]
    """Whom a route tells too, when nobody acknowledges."""

    model = Escalation
    form = EscalationForm
    extra = 0
    fields = ("after_s", "channels")
    verbose_name = "escalation: tell these channels too, if nobody has acknowledged after so long"
    verbose_name_plural = "escalations"


@admin.register(Route)
class RouteAdmin(ModelAdmin):  # type: ignore[misc]
    """Routes, in the order in which they are asked."""

    empty_hint = "The first route whose matchers fit an alert takes it, the default route what is left."

    form = RouteForm
    inlines = (EscalationInline,)
    list_display = ("name", "position", "shown_matchers", "shown_group_by", "times", "shown_channels", "continues")
    fieldsets = (
        (None, {"fields": ("name", ("position", "continues"), "matchers", "channels")}),
        ("What is told together, and when", {"fields": (
            "group_by", "group_wait_s", "group_interval_s", "repeat_interval_s",
        )}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        """Return all routes, the default one last."""
        return selectors.list_routes()

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the order in which they are asked."""
        return ("is_default", "position", "pk")

    def has_delete_permission(self, request: HttpRequest, obj: Route | None = None) -> bool:
        """Say whether it may go: the default route stays."""
        return bool(super().has_delete_permission(request, obj)) and not (obj is not None and obj.is_default)

    def get_fieldsets(self, request: HttpRequest, obj: Route | None = None) -> Any:
        """Leave out where the default route stands and what it matches: it takes what no other takes."""
        (title, shown), *others = super().get_fieldsets(request, obj)
        if obj is None or not obj.is_default:
            return [(title, shown), *others]
        hint = "Takes every alert that no other route takes."
        return [(title, {"fields": ("name", "channels"), "description": hint}), *others]

    @display(description="Takes")  # type: ignore[untyped-decorator]
    def shown_matchers(self, route: Route) -> str:
        """Return the matchers in one line."""
        if route.is_default:
            return "what no other route takes"
        return ", ".join(route.matchers) or "everything"

    @display(description="Together by")  # type: ignore[untyped-decorator]
    def shown_group_by(self, route: Route) -> str:
        """Return the labels in one line."""
        return ", ".join(route.group_by) or "all in one"

    @display(description="Wait / interval / repeat")  # type: ignore[untyped-decorator]
    def times(self, route: Route) -> str:
        """Return the three times in one line."""
        times = (route.group_wait_s, route.group_interval_s, route.repeat_interval_s)
        return " / ".join(duration_text(seconds) if seconds else "0" for seconds in times)

    @display(description="Channels")  # type: ignore[untyped-decorator]
    def shown_channels(self, route: Route) -> str:
        """Return the channels in one line."""
        return ", ".join(channel.name for channel in route.channels.all()) or "the default channels"


@admin.register(AlertGroup)
class AlertGroupAdmin(ReadOnlyAdmin):
    """Alerts that are told together."""

    empty_hint = "Alerts that fire are told together, in groups, as the routes say."

    list_display = ("shown_name", "route", "count", "opened_at", "notified_at", "next_flush_at")
    list_filter = ("route",)
    show_full_result_count = False
    fields = ("route", "labels", "opened_at", "notified_at", "next_flush_at")
    change_form_outer_before_template = "monitoring/alerts/group.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertGroup]:
        """Return all groups, those with alerts first."""
        return selectors.list_groups()

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """Keep the order of the query."""
        return tuple(selectors.list_groups().query.order_by)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show a group's alerts and messages above its fields."""
        group = selectors.list_groups().filter(pk=object_id).first() if object_id else None
        shown = {}
        if group:
            shown = {
                "group": group,
                "members": list(group.members.select_related("alert")),
                "notifications": list(group.notifications.select_related("channel")[:20]),
                "title": str(group),
            }
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    @display(description="Group")  # type: ignore[untyped-decorator]
    def shown_name(self, group: AlertGroup) -> str:
        """Return the labels that its alerts share."""
        return str(group)

    @display(description="Alerts")  # type: ignore[untyped-decorator]
    def count(self, group: AlertGroup) -> int:
        """Return how many alerts are in it."""
        return int(getattr(group, "member_count", 0))
