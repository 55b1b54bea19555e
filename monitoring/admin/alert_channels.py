"""Pages of channels, and of what was sent over them."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from aiplatform.console.pages import Question, confirm, done, failed
from aiplatform.errors import PlatformError
from monitoring.admin.alert_forms import ChannelForm
from monitoring.alerts import selectors
from monitoring.alerts.channels import channel_address, send_test_message
from monitoring.alerts.notifications import retry_notification
from monitoring.alerts.preview import preview_message
from monitoring.models.alerts import Channel, Notification

NOTIFICATION_COLOURS = {
    "sent": "success", "failed": "danger", "pending": "info", "sending": "info", "cancelled": "warning",
}  # fmt: skip


@admin.register(Channel)
class ChannelAdmin(ModelAdmin):  # type: ignore[misc]
    """Channels. Addresses are shown masked only."""

    empty_hint = "A channel is where alerts and reports are sent: mail, chat, a web hook, an Alertmanager."

    form = ChannelForm
    list_display = ("name", "kind", "address", "is_default", "is_enabled", "last_sent_at", "last_error")
    readonly_fields = ("address", "preview", "last_sent_at", "last_error")
    conditional_fields = {"title_template": "kind == 'apprise'", "body_template": "kind == 'apprise'"}
    actions_detail = ("test",)

    def get_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Return the fields; a new channel has sent nothing yet."""
        asked: tuple[str, ...] = self.form.Meta.fields
        if obj is None:
            return asked
        return ("name", "address", *asked[1:5], "preview", *asked[5:], "last_sent_at", "last_error")

    @display(description="Present address")  # type: ignore[untyped-decorator]
    def address(self, channel: Channel) -> str:
        """Return the address without its secrets."""
        return channel_address(channel) if channel.pk else "-"

    @display(description="Preview")  # type: ignore[untyped-decorator]
    def preview(self, channel: Channel) -> str:
        """Return the message of an invented alert, in this channel's form."""
        message = preview_message(channel.title_template, channel.body_template)
        return f"{message.title}\n\n{message.body}"

    @action(description="Send a test", icon="send", permissions=["change"])  # type: ignore[untyped-decorator]
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask, then send a test message and say what became of it."""
        channel = Channel.objects.get(pk=object_id)
        page = reverse("admin:monitoring_channel_change", args=[channel.pk])
        if request.method != "POST":
            text = f"A test message goes to {channel_address(channel)}."
            return confirm(request, Question(title=f"Test {channel.name}?", submit="Send", cancel_url=page, text=text))
        try:
            send_test_message(channel, by=request.user.get_username(), now=timezone.now())
        except PlatformError as error:
            return failed(request, f"Not delivered: {error.message}", to=page)
        return done(request, "The test message was delivered.", to=page)


@admin.register(Notification)
class NotificationAdmin(ModelAdmin):  # type: ignore[misc]
    """What was sent, what failed, and why; read-only but for trying again."""

    empty_hint = "A message stands here once an alert was told to a channel."

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
