"""Pages of what keeps alerts from being told: silences, quiet hours, inhibitions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from aiplatform.console.pages import Question, confirm, done, failed
from aiplatform.errors import PlatformError
from monitoring.admin.alert_forms import InhibitionForm, QuietHoursForm, SilenceModelForm
from monitoring.alerts import selectors, silences
from monitoring.alerts.quiet import is_quiet
from monitoring.models.alerts import Inhibition, QuietHours, Silence


@admin.register(Silence)
class SilenceAdmin(ModelAdmin):  # type: ignore[misc]
    """Silences: made, changed, ended; kept until retention takes them."""

    empty_hint = "A silence keeps alerts from being told for a time, for work that is planned."

    form = SilenceModelForm
    list_display = ("shown_state", "shown_matchers", "starts_at", "ends_at", "reason", "created_by", "holds_actions")
    list_display_links = ("shown_matchers",)
    list_filter = ("created_by", "holds_actions")
    search_fields = ("matchers", "reason")
    actions_detail = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Silence]:
        """Return all silences."""
        return selectors.list_silences()

    def get_form(self, request: HttpRequest, obj: Silence | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Say in which zone times are typed."""
        zones = {"starts_at": "UTC.", "ends_at": "UTC."}
        return super().get_form(request, obj, change, help_texts=zones, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Offer an hour from now."""
        now = timezone.now()
        return {"starts_at": now, "ends_at": now + timedelta(hours=1), **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Silence, form: ModelForm[Silence], change: bool) -> None:
        """Save in this person's name, and mark the alerts that are covered."""
        obj.created_by = obj.created_by or request.user.get_username()
        silences.save_silence(obj, now=timezone.now())

    def delete_model(self, request: HttpRequest, obj: Silence) -> None:
        """Delete, and unmark the alerts that were covered."""
        super().delete_model(request, obj)
        silences.mark_active_alerts(now=timezone.now(), actor=request.user.get_username())

    @display(description="State", label={"active": "success", "future": "info", "over": "default"})  # type: ignore[untyped-decorator]
    def shown_state(self, silence: Silence) -> str:
        """Return whether it holds."""
        now = timezone.now()
        if silence.is_active(now):
            return "active"
        return "future" if silence.starts_at > now else "over"

    @display(description="Alerts with")  # type: ignore[untyped-decorator]
    def shown_matchers(self, silence: Silence) -> str:
        """Return the matchers in one line."""
        return ", ".join(silence.matchers)

    @action(description="End now", icon="notifications_active", permissions=["change"])  # type: ignore[untyped-decorator]
    def end(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then end a silence."""
        silence = Silence.objects.get(pk=object_id)
        page = reverse("admin:monitoring_silence_change", args=[silence.pk])
        if request.method != "POST":
            text = "Alerts that are still firing and were told to nobody are told then."
            question = Question(title="End this silence now?", submit="End it", cancel_url=page, text=text)
            return confirm(request, question)
        try:
            silences.end_silence(silence, by=request.user.get_username(), now=timezone.now())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, "The silence is over.", to=page)


@admin.register(QuietHours)
class QuietHoursAdmin(ModelAdmin):  # type: ignore[misc]
    """Times of the week that rules may name."""

    form = QuietHoursForm
    list_display = ("name", "effect", "shown_days", "starts", "ends", "time_zone", "shown_state")
    fields = ("name", "effect", "days", ("starts", "ends"), "time_zone")

    @display(description="Days")  # type: ignore[untyped-decorator]
    def shown_days(self, hours: QuietHours) -> str:
        """Return the days in one line."""
        return "every day" if len(hours.days) == 7 else ", ".join(hours.days)

    @display(description="Now", label={"quiet": "warning", "not quiet": "success"})  # type: ignore[untyped-decorator]
    def shown_state(self, hours: QuietHours) -> str:
        """Return whether they hold."""
        return "quiet" if is_quiet(hours, timezone.now()) else "not quiet"


@admin.register(Inhibition)
class InhibitionAdmin(ModelAdmin):  # type: ignore[misc]
    """Which alerts add nothing while which others fire."""

    form = InhibitionForm
    list_display = ("name", "shown_source", "shown_target", "shown_equal", "is_enabled")
    fieldsets = (
        (None, {"fields": ("name", "is_enabled")}),
        ("While this fires ...", {"fields": ("source_matchers",)}),
        ("... nobody is told of this", {"fields": ("target_matchers", "equal")}),
    )

    @display(description="While this fires")  # type: ignore[untyped-decorator]
    def shown_source(self, inhibition: Inhibition) -> str:
        """Return the source in one line."""
        return ", ".join(inhibition.source_matchers)

    @display(description="nobody is told of this")  # type: ignore[untyped-decorator]
    def shown_target(self, inhibition: Inhibition) -> str:
        """Return the target in one line."""
        return ", ".join(inhibition.target_matchers)

    @display(description="with the same")  # type: ignore[untyped-decorator]
    def shown_equal(self, inhibition: Inhibition) -> str:
        """Return the labels in one line."""
        return ", ".join(inhibition.equal)
