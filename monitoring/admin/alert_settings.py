"""Pages of what alerting is set up with: rules, channels, silences; and what was sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from aiplatform.console.pages import Question, confirm, done, failed
from aiplatform.errors import PlatformError
from monitoring.admin.alert_forms import ChannelForm, RuleForm
from monitoring.alerts import selectors, silences
from monitoring.alerts.channels import mask_url, send_test_message
from monitoring.alerts.notifications import retry_notification
from monitoring.models.alerts import AlertRule, Channel, Notification, Silence

NOTIFICATION_COLOURS = {
    "sent": "success", "failed": "danger", "pending": "info", "sending": "info", "cancelled": "warning",
}  # fmt: skip
SEVERITY_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


@admin.register(AlertRule)
class AlertRuleAdmin(ModelAdmin):  # type: ignore[misc]
    """Rules, and what each found last."""

    form = RuleForm
    list_display = ("name", "endpoint", "condition", "for_s", "shown_severity", "action", "firing", "is_enabled")
    list_filter = ("is_enabled", "severity", "metric", "endpoint")
    search_fields = ("name", "endpoint", "metric")
    change_form_outer_after_template = "monitoring/alerts/rule_targets.html"
    fieldsets = (
        (None, {"fields": ("name", "is_enabled", "severity", "summary")}),
        ("What it watches", {"fields": ("endpoint", ("version_scope", "version"), "metric", "feature")}),
        ("When it is wrong", {"fields": (
            ("comparison", "threshold"), ("window_s", "minimum_samples"), ("for_s", "keep_firing_for_s"), "no_data",
        )}),
        ("What follows", {"fields": ("channels", "repeat_s")}),
        (
            "What it does by itself",
            {
                "fields": (
                    ("action", "action_is_dry_run"),
                    ("action_cooldown_s", "action_limit_per_day"),
                    "action_source",
                )
            },
        ),
        ("Labels", {"fields": ("labels", "annotations"), "classes": ("collapse",)}),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        """Return all rules, with how many alerts of each fire."""
        return selectors.list_rules()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer the metrics there are."""
        if db_field.name == "metric":
            kwargs["widget"] = UnfoldAdminSelectWidget(choices=self.form.Meta.widgets["metric"].choices)
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Show below a rule what it watches now."""
        rule = AlertRule.objects.filter(pk=object_id).first() if object_id else None
        targets = {"targets": list(selectors.list_rule_targets(rule)[:100])} if rule else {}
        return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), **targets})

    @display(description="Severity", label=SEVERITY_COLOURS)  # type: ignore[untyped-decorator]
    def shown_severity(self, rule: AlertRule) -> str:
        """Return the severity, as a badge."""
        return rule.severity

    @display(description="Firing")  # type: ignore[untyped-decorator]
    def firing(self, rule: AlertRule) -> int:
        """Return how many of its alerts fire."""
        return int(getattr(rule, "firing_count", 0))


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):  # type: ignore[misc]
    """Channels. Addresses are shown masked only."""

    form = ChannelForm
    list_display = ("name", "address", "is_default", "is_enabled", "last_sent_at", "last_error")
    readonly_fields = ("address", "last_sent_at", "last_error")
    fields = ("name", "address", "url", "is_default", "is_enabled", "last_sent_at", "last_error")
    actions_detail = ("test",)

    def get_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Return the fields; a new channel has sent nothing yet."""
        return self.fields if obj else self.form.Meta.fields

    @display(description="Present address")  # type: ignore[untyped-decorator]
    def address(self, channel: Channel) -> str:
        """Return the address without its secrets."""
        return mask_url(channel.url) if channel.pk else "-"

    @action(description="Send a test", icon="send", permissions=["change"])  # type: ignore[untyped-decorator]
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then send a test message and say what became of it."""
        channel = Channel.objects.get(pk=object_id)
        page = reverse("admin:monitoring_channel_change", args=[channel.pk])
        if request.method != "POST":
            text = f"A test message goes to {mask_url(channel.url)}."
            return confirm(request, Question(title=f"Test {channel.name}?", submit="Send", cancel_url=page, text=text))
        try:
            send_test_message(channel, by=request.user.get_username(), now=timezone.now())
        except PlatformError as error:
            return failed(request, f"Not delivered: {error.message}", to=page)
        return done(request, "The test message was delivered.", to=page)


@admin.register(Silence)
class SilenceAdmin(ModelAdmin):  # type: ignore[misc]
    """Silences: made, changed, ended; kept until retention takes them."""

    list_display = ("shown_state", "endpoint", "rule", "severity", "starts_at", "ends_at", "reason", "created_by")
    list_filter = ("endpoint", "severity", "rule")
    exclude = ("created_by",)
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


@admin.register(Notification)
class NotificationAdmin(ModelAdmin):  # type: ignore[misc]
    """What was sent, what failed, and why; read-only but for trying again."""

    list_display = ("shown_state", "title", "channel", "attempts", "created_at", "sent_at", "last_error")
    list_display_links = ("title",)
    list_filter = ("state", "kind", "channel")
    search_fields = ("title", "last_error")
    show_full_result_count = False
    actions_detail = ("retry",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        """Return all notifications."""
        return selectors.list_notifications()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody writes a notification by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody edits a notification."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Notifications go with their alert."""
        return False

    def has_handle_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """Say whether this person may try one again."""
        return bool(request.user.has_perm("monitoring.change_notification"))

    @display(description="State", label=NOTIFICATION_COLOURS)  # type: ignore[untyped-decorator]
    def shown_state(self, notification: Notification) -> str:
        """Return the state, as a badge."""
        return notification.state

    @action(description="Try again", icon="refresh", permissions=["handle"])  # type: ignore[untyped-decorator]
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then give a failed notification all its attempts again."""
        notification = Notification.objects.get(pk=object_id)
        page = reverse("admin:monitoring_notification_change", args=[notification.pk])
        if request.method != "POST":
            return confirm(request, Question(title="Try to send this again?", submit="Send", cancel_url=page))
        try:
            retry_notification(notification, now=timezone.now())
        except PlatformError as error:
            return failed(request, error.message, to=page)
        return done(request, "It is sent again within seconds.", to=page)
