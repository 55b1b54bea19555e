"""The JSON of routes, inhibitions, quiet hours and groups."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import transaction
from rest_framework import serializers

from monitoring.models.alerts import AlertGroup, Channel, Escalation, GroupMember, Inhibition, QuietHours, Route


class _CleanSerializer(serializers.ModelSerializer[Any]):
    """Refuses what the model's own `clean` refuses."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a row that could never work, as the console does."""
        model: Any = self.Meta.model
        columns = [field.name for field in model._meta.concrete_fields]
        known = {name: getattr(self.instance, name) for name in columns} if self.instance else {}
        candidate = model(**{**known, **{name: attrs[name] for name in columns if name in attrs}})
        try:
            candidate.clean()
        except DjangoValidationError as error:
            raise serializers.ValidationError(error.message_dict) from error
        return attrs


class EscalationSerializer(serializers.ModelSerializer[Escalation]):
    """Whom a route tells too, once nobody acknowledged for `after_s`."""

    channels = serializers.PrimaryKeyRelatedField(many=True, queryset=Channel.objects.all())

    class Meta:
        model = Escalation
        fields = ("after_s", "channels")


class RouteSerializer(_CleanSerializer):
    """A route with its escalations; a list of escalations that is given replaces all."""

    matchers = serializers.ListField(child=serializers.CharField(), required=False)
    group_by = serializers.ListField(child=serializers.CharField(), required=False)
    escalations = EscalationSerializer(many=True, required=False)

    class Meta:
        model = Route
        fields = (
            "id", "name", "position", "matchers", "continues", "is_default", "group_by", "group_wait_s",
            "group_interval_s", "repeat_interval_s", "channels", "escalations",
        )  # fmt: skip
        read_only_fields = ("is_default",)

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> Route:
        """Make a route and its escalations."""
        escalations = validated_data.pop("escalations", [])
        route: Route = super().create(validated_data)
        return _write_escalations(route, escalations)

    @transaction.atomic
    def update(self, instance: Route, validated_data: dict[str, Any]) -> Route:
        """Change a route; replace its escalations if some are given."""
        escalations = validated_data.pop("escalations", None)
        route: Route = super().update(instance, validated_data)
        return route if escalations is None else _write_escalations(route, escalations)


def _write_escalations(route: Route, escalations: list[dict[str, Any]]) -> Route:
    route.escalations.all().delete()
    for fields in escalations:
        row = Escalation.objects.create(route=route, after_s=fields.get("after_s", 1800))
        row.channels.set(fields["channels"])
    return Route.objects.prefetch_related("channels", "escalations__channels").get(pk=route.pk)


class InhibitionSerializer(_CleanSerializer):
    """While the source fires, nobody is told of the target."""

    source_matchers = serializers.ListField(child=serializers.CharField(), allow_empty=False)
    target_matchers = serializers.ListField(child=serializers.CharField(), allow_empty=False)
    equal = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = Inhibition
        fields = ("id", "name", "source_matchers", "target_matchers", "equal", "is_enabled")


class QuietHoursSerializer(_CleanSerializer):
    """Times of the week that rules may name."""

    days = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = QuietHours
        fields = ("id", "name", "effect", "days", "starts", "ends", "time_zone")


class GroupMemberSerializer(serializers.ModelSerializer[GroupMember]):
    """An alert in a group, and what was told of it there."""

    state = serializers.CharField(source="alert.state", read_only=True)
    muted_reason = serializers.CharField(source="alert.muted_reason", read_only=True)

    class Meta:
        model = GroupMember
        fields = ("alert", "state", "told", "told_at", "escalated", "muted_reason")


class GroupSerializer(serializers.ModelSerializer[AlertGroup]):
    """Alerts that are told together. `next_flush_at` null: it is empty."""

    members = GroupMemberSerializer(many=True, read_only=True)

    class Meta:
        model = AlertGroup
        fields = ("id", "route", "labels", "channels", "opened_at", "notified_at", "next_flush_at", "members")
        read_only_fields = fields
