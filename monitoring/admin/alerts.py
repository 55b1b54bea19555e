"""Pages of alerts: what is firing, the story of each, and the buttons that handle it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from aiplatform.console.pages import Question, confirm, done
from aiplatform.errors import PlatformError
from monitoring.admin import alert_channels, alert_routes, alert_settings, alert_silences
from monitoring.admin.alert_forms import NoteForm, SilenceForm
from monitoring.admin.alert_story import alert_story
from monitoring.alerts import marks, selectors, silences
from monitoring.alerts.judgement import format_number
from monitoring.alerts.vocabulary import Comparison
from monitoring.models.alerts import Alert

__all__ = ["alert_channels", "alert_routes", "alert_settings", "alert_silences"]

STATE_COLOURS = {"firing": "danger", "recovering": "info", "pending": "warning", "resolved": "success"}
SEVERITY_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


@admin.register(Alert)
class AlertAdmin(ModelAdmin):  # type: ignore[misc]
    """Alerts: read, acknowledged, silenced, resolved; never edited."""

    empty_hint = "No rule has fired. The rules are under Alert settings."

    list_display = ("shown_state", "shown_severity", "rule_name", "place", "measured", "since", "marks")
    list_display_links = ("rule_name", "place")
    list_filter = ("state", "severity", "endpoint", "rule_name")
    search_fields = ("rule_name", "endpoint", "message")
    list_per_page = 50
    show_full_result_count = False
    actions_detail = ("acknowledge", "silence", "resolve")
    change_form_outer_before_template = "monitoring/alerts/story.html"
    fields = ("fingerprint", "labels", "annotations", "detail")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        """Return all alerts in the order of their urgency."""
        return selectors.list_alerts()

    def get_ordering(self, request: HttpRequest) -> tuple[Any, ...]:
        """Return the order of urgency."""
        return selectors.urgency_order()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody makes an alert by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        """Nobody edits an alert."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Alert | None = None) -> bool:
        """Alerts go by retention only."""
        return False

    def has_handle_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether this person may handle alerts."""
        return bool(request.user.has_perm("monitoring.change_alert"))

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        """Return the buttons; none for an alert that is over."""
        alert = Alert.objects.filter(pk=object_id).first()
        return super().get_actions_detail(request, object_id) if alert and alert.is_active else []

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show an alert's story above its fields."""
        alert = Alert.objects.select_related("rule", "silence").filter(pk=object_id).first() if object_id else None
        story = {"story": alert_story(alert), "title": str(alert)} if alert else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **story})

    @action(description="Acknowledge", icon="check", permissions=["handle"], variant=ActionVariant.PRIMARY)  # type: ignore[untyped-decorator]
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a note, then acknowledge."""
        alert = selectors.get_alert(int(object_id))
        form = NoteForm(request.POST or None)
        question = Question(
            title=f"Acknowledge: {alert}", submit="Acknowledge", cancel_url=_page(alert),
            what_will_change=[f"{request.user.get_username()} is shown as taking care of it", "It is not told again"],
        )  # fmt: skip
        error = ""
        if request.method == "POST" and form.is_valid():
            try:
                marks.acknowledge_alert(
                    alert, by=request.user.get_username(), note=form.cleaned_data["note"], now=timezone.now()
                )
                return done(request, "The alert is acknowledged.", to=_page(alert))
            except PlatformError as problem:
                error = problem.message
        return confirm(request, question, form=form, error=error)

    @action(description="Silence", icon="notifications_off", permissions=["handle"])  # type: ignore[untyped-decorator]
    def silence(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for how long and why, then silence the rule on the alert's endpoint."""
        alert = selectors.get_alert(int(object_id))
        form = SilenceForm(request.POST or None)
        question = Question(
            title=f"Silence: {alert.rule_name} on {alert.endpoint}", submit="Silence", cancel_url=_page(alert),
            what_will_change=["Nobody is told of this rule on this endpoint", "Its action, if any, is held back"],
        )  # fmt: skip
        error = ""
        if request.method == "POST" and form.is_valid():
            try:
                silence = silences.silence_alert(
                    alert, by=request.user.get_username(), now=timezone.now(),
                    reason=form.cleaned_data["reason"], duration_s=float(form.cleaned_data["duration_s"]),
                )  # fmt: skip
                return done(request, f"Silenced until {silence.ends_at:%Y-%m-%d %H:%M} UTC.", to=_page(alert))
            except PlatformError as problem:
                error = problem.message
        return confirm(request, question, form=form, error=error)

    @action(description="Resolve", icon="done_all", permissions=["handle"])  # type: ignore[untyped-decorator]
    def resolve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then resolve by hand."""
        alert = selectors.get_alert(int(object_id))
        form = NoteForm(request.POST or None)
        question = Question(
            title=f"Resolve: {alert}", submit="Resolve", cancel_url=_page(alert),
            what_will_change=["The alert ends now", "If its condition still holds, a new alert begins within seconds"],
        )  # fmt: skip
        error = ""
        if request.method == "POST" and form.is_valid():
            try:
                marks.resolve_alert(
                    alert, by=request.user.get_username(), note=form.cleaned_data["note"], now=timezone.now()
                )
                return done(request, "The alert is resolved.", to=_page(alert))
            except PlatformError as problem:
                error = problem.message
        return confirm(request, question, form=form, error=error)

    @display(description="State", label=STATE_COLOURS)  # type: ignore[untyped-decorator]
    def shown_state(self, alert: Alert) -> str:
        """Return the state, as a badge."""
        return alert.state

    @display(description="Severity", label=SEVERITY_COLOURS)  # type: ignore[untyped-decorator]
    def shown_severity(self, alert: Alert) -> str:
        """Return the severity, as a badge."""
        return alert.severity

    @display(description="Endpoint", ordering="endpoint")  # type: ignore[untyped-decorator]
    def place(self, alert: Alert) -> str:
        """Return endpoint and version."""
        return f"{alert.endpoint} v{alert.version}"

    @display(description="Measured")  # type: ignore[untyped-decorator]
    def measured(self, alert: Alert) -> str:
        """Return what was measured, beside the threshold."""
        limit = f"{Comparison(alert.comparison).label} {format_number(alert.threshold)}"
        return f"{alert.measured_name} {format_number(alert.value)} ({limit})"

    @display(description="Since", ordering="started_at")  # type: ignore[untyped-decorator]
    def since(self, alert: Alert) -> Any:
        """Return when it fired, or began."""
        return alert.fired_at or alert.started_at

    @display(description="Marks")  # type: ignore[untyped-decorator]
    def marks(self, alert: Alert) -> str:
        """Return who took it on, and why nobody is told."""
        acknowledged = f"acknowledged by {alert.acknowledged_by}" if alert.is_acknowledged else ""
        silenced = "silenced" if alert.is_silenced else ""
        return ", ".join(filter(None, [acknowledged, alert.muted_reason or silenced if alert.is_active else ""]))


def _page(alert: Alert) -> str:
    return reverse("admin:monitoring_alert_change", args=[alert.pk])
