"""The JSON of alerts, rules, channels, silences and notifications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from aiplatform.errors import InvalidInputError
from monitoring.alerts.channels import channel_address, check_channel
from monitoring.alerts.messages import alert_link
from monitoring.alerts.templates import render_template
from monitoring.alerts.vocabulary import ChannelKind, RuleKind
from monitoring.models.alerts import (
    ActionRun,
    Alert,
    AlertEvent,
    AlertRule,
    Channel,
    Notification,
    RuleTarget,
    Silence,
)


class AlertEventSerializer(serializers.ModelSerializer[AlertEvent]):
    """One line of an alert's timeline."""

    class Meta:
        model = AlertEvent
        fields = ("at", "kind", "text", "actor")


class ActionRunSerializer(serializers.ModelSerializer[ActionRun]):
    """What a rule did by itself."""

    class Meta:
        model = ActionRun
        fields = (
            "kind", "endpoint", "version", "state", "attempts", "error", "evidence", "result",
            "created_at", "finished_at",
        )  # fmt: skip


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """An alert as lists show it."""

    is_acknowledged = serializers.BooleanField(read_only=True)
    is_silenced = serializers.BooleanField(read_only=True)
    link = serializers.SerializerMethodField(help_text="The alert's page in the console.")

    class Meta:
        model = Alert
        fields: tuple[str, ...] = (
            "id", "fingerprint", "rule", "rule_name", "endpoint", "version", "metric", "feature", "comparison",
            "threshold", "window_s", "severity", "state", "reason", "last_verdict", "value", "samples", "message",
            "summary", "labels", "annotations", "started_at", "fired_at", "resolved_at", "last_evaluated_at",
            "is_acknowledged", "acknowledged_at", "acknowledged_by", "acknowledgement_note", "resolved_by",
            "is_silenced", "silence", "muted_reason", "notified_at", "condition", "link",
        )  # fmt: skip
        read_only_fields = fields

    def get_link(self, alert: Alert) -> str:
        """Return the address of the alert's page."""
        return alert_link(alert)


class AlertDetailSerializer(AlertSerializer):
    """An alert with its timeline, its measured values and its action."""

    events = AlertEventSerializer(many=True, read_only=True)
    action = serializers.SerializerMethodField(help_text="What the rule did by itself, if anything.")

    class Meta(AlertSerializer.Meta):
        fields = (*AlertSerializer.Meta.fields, "detail", "history", "events", "action")
        read_only_fields = fields

    @extend_schema_field(ActionRunSerializer(allow_null=True))
    def get_action(self, alert: Alert) -> Any:
        """Return the action of this firing."""
        run = ActionRun.objects.filter(alert=alert).first()
        return ActionRunSerializer(run).data if run else None


class NoteSerializer(serializers.Serializer[Any]):
    """A person's note."""

    note = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)


class SilenceAlertSerializer(serializers.Serializer[Any]):
    """How long, and why, an alert's rule is silenced on its endpoint."""

    duration_s = serializers.FloatField(min_value=1, default=3600)
    reason = serializers.CharField(max_length=500)


class RuleSerializer(serializers.ModelSerializer[AlertRule]):
    """A rule. `channels` are ids; none means the default channels."""

    firing_count = serializers.IntegerField(read_only=True, default=0)
    condition = serializers.CharField(read_only=True)

    class Meta:
        model = AlertRule
        fields = (
            "id", "name", "endpoint", "version_scope", "version", "kind", "metric", "feature", "comparison",
            "threshold", "change_unit", "reference", "offset_s", "window_s", "for_s", "keep_firing_for_s", "severity",
            "minimum_samples", "no_data", "on_error", "quiet_hours", "labels", "annotations", "summary", "channels",
            "action", "action_cooldown_s", "action_limit_per_day", "action_is_dry_run", "action_source", "is_enabled",
            "condition", "firing_count", "created_at", "updated_at",
        )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a rule that could never work, as the console does."""
        columns = [field.name for field in AlertRule._meta.concrete_fields]
        known = {name: getattr(self.instance, name) for name in columns} if self.instance else {}
        candidate = AlertRule(**{**known, **{name: attrs[name] for name in columns if name in attrs}})
        try:
            candidate.clean()
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.message_dict) from error
        if self.instance is None and "threshold" not in attrs and candidate.kind != RuleKind.ABSENCE:
            raise serializers.ValidationError({"threshold": f"a rule of the kind '{candidate.kind}' needs one"})
        return attrs


class RuleTargetSerializer(serializers.ModelSerializer[RuleTarget]):
    """What the last evaluation of a rule found on one endpoint version."""

    class Meta:
        model = RuleTarget
        fields = (
            "endpoint", "version", "state", "verdict", "value", "samples", "message", "state_since",
            "evaluated_at", "alert",
        )  # fmt: skip
        read_only_fields = fields


class ChannelSerializer(serializers.ModelSerializer[Channel]):
    """A channel. Its URL is written, never read: `address` shows it masked."""

    address = serializers.SerializerMethodField()

    class Meta:
        model = Channel
        fields = (
            "id", "name", "kind", "url", "address", "title_template", "body_template", "is_default",
            "is_enabled", "created_at", "last_sent_at", "last_error", "push_failures",
        )  # fmt: skip
        read_only_fields = ("last_sent_at", "last_error", "push_failures")
        extra_kwargs = {"url": {"write_only": True}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse an address that this kind cannot use, and templates that cannot be read."""
        kind = attrs.get("kind", self.instance.kind if self.instance else ChannelKind.APPRISE)
        if "url" in attrs or "kind" in attrs:
            _refuse("url", check_channel, kind, attrs.get("url") or (self.instance.url if self.instance else ""))
        for name in ("title_template", "body_template"):
            _refuse(name, render_template, attrs.get(name, ""), {})
        return attrs

    def get_address(self, channel: Channel) -> str:
        """Return the address without its secrets."""
        return channel_address(channel)


def _refuse(field: str, check: Callable[..., object], *arguments: Any) -> None:
    try:
        check(*arguments)
    except InvalidInputError as error:
        raise serializers.ValidationError({field: error.message}) from error


class ChannelTestSerializer(serializers.Serializer[Any]):
    """What became of a test message."""

    delivered = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)


class SilenceSerializer(serializers.ModelSerializer[Silence]):
    """A silence. `starts_at` left out: now."""

    matchers = serializers.ListField(
        child=serializers.CharField(),
        allow_empty=False,
        help_text='All must match: endpoint="digits", severity=~"a|b" ...',
    )
    starts_at = serializers.DateTimeField(required=False)
    is_active = serializers.SerializerMethodField()

    class Meta:
        model = Silence
        fields = (
            "id", "matchers", "starts_at", "ends_at", "reason", "holds_actions", "created_by", "created_at",
            "is_active",
        )  # fmt: skip
        read_only_fields = ("created_by", "created_at")

    def get_is_active(self, silence: Silence) -> bool:
        """Say whether it holds now."""
        return silence.is_active(timezone.now())


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A message and what became of it."""

    channel_name = serializers.CharField(source="channel.name", read_only=True)

    class Meta:
        model = Notification
        fields = (
            "id", "alert", "alerts", "group", "channel", "channel_name", "kind", "state", "title", "body", "attempts",
            "next_attempt_at", "last_error", "created_at", "sent_at",
        )  # fmt: skip
        read_only_fields = fields
