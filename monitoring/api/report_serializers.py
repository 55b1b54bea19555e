"""The JSON of report schedules and stored reports."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from monitoring.models.alerts import Channel
from monitoring.models.reports import ReportDelivery, ReportSchedule, StoredReport, channel_problem, schedule_problems
from monitoring.reports.delivery import stored_link


class ReportScheduleSerializer(serializers.ModelSerializer[ReportSchedule]):
    """What is reported on by itself."""

    channels = serializers.SlugRelatedField(
        slug_field="name",
        many=True,
        required=False,
        queryset=Channel.objects.all(),
        help_text="Names of channels of kind apprise.",
    )

    class Meta:
        model = ReportSchedule
        fields: ClassVar[list[str]] = [
            "id", "name", "endpoint", "version_scope", "version", "period", "cron", "time_zone", "channels",
            "is_enabled",
            "created_at",
        ]  # fmt: skip

    def validate_channels(self, channels: list[Channel]) -> list[Channel]:
        """Refuse channels that can carry no report."""
        if problem := channel_problem(channels):
            raise serializers.ValidationError(problem)
        return channels

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what could never work, as the console does."""
        known = {name: getattr(self.instance, name) for name in _CHECKED} if self.instance else {}
        given = {name: value for name, value in attrs.items() if name in _CHECKED}
        problems = schedule_problems(ReportSchedule(**{**known, **given}))
        if problems:
            raise serializers.ValidationError(problems)
        return attrs


_CHECKED = ("endpoint", "version_scope", "version", "period", "cron", "time_zone")


class ReportDeliverySerializer(serializers.ModelSerializer[ReportDelivery]):
    """To whom a report went."""

    channel = serializers.CharField(source="channel.name", read_only=True)

    class Meta:
        model = ReportDelivery
        fields: ClassVar[list[str]] = ["channel", "state", "attempts", "last_error", "sent_at"]


class StoredReportSerializer(serializers.ModelSerializer[StoredReport]):
    """A stored report without its content."""

    schedule = serializers.CharField(source="schedule_name", read_only=True)
    deliveries = ReportDeliverySerializer(many=True, read_only=True)
    link = serializers.SerializerMethodField(help_text="The report's page in the console.")

    class Meta:
        model = StoredReport
        fields: ClassVar[list[str]] = [
            "id", "schedule", "endpoint", "version", "period_start", "period_end", "state", "error", "health",
            "headline", "size_bytes", "sha256", "planned_at", "made_at", "deliveries", "link",
        ]  # fmt: skip

    def get_link(self, report: StoredReport) -> str:
        """Return where people read it."""
        return stored_link(report.pk)


class SendReportSerializer(serializers.Serializer[Any]):
    """What became of a report that was ordered."""

    reports = StoredReportSerializer(many=True)
