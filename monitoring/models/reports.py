"""Tables of reports: schedules, what each period's report became, and to whom it went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from monitoring.alerts.vocabulary import ChannelKind
from monitoring.models.alerts import Channel
from monitoring.reports.periods import PeriodKind, check_cron, check_time_zone

EVERY_ENDPOINT = "*"


class ReportScope(models.TextChoices):
    """Which versions a schedule reports on."""

    SERVING = "serving", "those that served in the period"
    ONE = "one", "one version"


class ReportSchedule(models.Model):
    """A report on an endpoint after each day, week or month of a time zone, kept and sent to channels."""

    name = models.CharField(max_length=100, unique=True)
    endpoint = models.CharField(max_length=63, default=EVERY_ENDPOINT, help_text="A name, or * for every endpoint.")
    version_scope = models.CharField(
        "versions", max_length=10, choices=ReportScope.choices, default=ReportScope.SERVING
    )
    version = models.PositiveIntegerField(null=True, blank=True, help_text="Only with 'one version'.")
    period = models.CharField(max_length=10, choices=PeriodKind.choices, default=PeriodKind.DAY)
    cron = models.CharField(
        "cron expression", max_length=100, default="", blank=True,
        help_text="Only with that period: minute, hour, day of month, month, day of week. 0 6 * * mon-fri",
    )  # fmt: skip
    time_zone = models.CharField(
        max_length=60, default="UTC", help_text="Whose days, weeks (from Monday) and months: Europe/Berlin, UTC ..."
    )
    channels = models.ManyToManyField(
        Channel, blank=True, related_name="report_schedules", help_text="None: the reports are only kept."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        verbose_name = "report schedule"

    def __str__(self) -> str:
        return self.name

    @property
    def every(self) -> str:
        """Return how often it reports, in a word or as the cron expression."""
        return self.cron if self.period == PeriodKind.CRON else self.period

    def clean(self) -> None:
        """Refuse a schedule that could never work, field by field."""
        super().clean()
        problems = schedule_problems(self)
        if problems:
            raise ValidationError(problems)


def schedule_problems(schedule: ReportSchedule) -> dict[str, str]:
    """Return what is wrong with a schedule by field."""
    problems = {}
    if (schedule.version_scope == ReportScope.ONE) != (schedule.version is not None):
        problems["version"] = "a version is needed with 'one version', and only then"
    if schedule.version_scope == ReportScope.ONE and schedule.endpoint == EVERY_ENDPOINT:
        problems["endpoint"] = "one version needs one endpoint, not *"
    if (schedule.period == PeriodKind.CRON) != bool(schedule.cron):
        problems["cron"] = "a cron expression is needed with a period of that kind, and only then"
    elif schedule.cron and (problem := check_cron(schedule.cron)):
        problems["cron"] = problem
    if zone := check_time_zone(schedule.time_zone):
        problems["time_zone"] = zone
    return problems


def channel_problem(channels: Iterable[Channel]) -> str:
    """Return which channels can carry no report and why, or nothing: an Alertmanager takes alerts only."""
    kind = ChannelKind.APPRISE
    wrong = [f"'{found.name}' is of kind {found.kind}" for found in channels if found.kind != kind]
    return f"reports go to channels of kind {kind} only: {', '.join(wrong)}" if wrong else ""


class ReportState(models.TextChoices):
    """The life of a stored report."""

    PLANNED = "planned"
    WORKING = "working"
    READY = "ready"
    FAILED = "failed"


class StoredReport(models.Model):
    """One version's report on one period: planned once, made once, kept in the artifact store.

    `attempts` is the fencing token: only the process whose attempt it is may write what became of it.
    """

    schedule = models.ForeignKey(ReportSchedule, null=True, on_delete=models.SET_NULL, related_name="reports")
    schedule_name = models.CharField(max_length=100, default="")
    endpoint = models.CharField(max_length=63, db_index=True)
    version = models.PositiveIntegerField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()  # the first moment that no longer belongs to it
    state = models.CharField(max_length=10, choices=ReportState.choices, default=ReportState.PLANNED)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    error = models.TextField(default="", blank=True)
    health = models.CharField(max_length=20, default="", blank=True)
    headline = models.CharField(max_length=500, default="", blank=True)
    uri = models.CharField(max_length=1000, default="", blank=True)
    sha256 = models.CharField(max_length=64, default="", blank=True)
    size_bytes = models.PositiveIntegerField(default=0)
    planned_at = models.DateTimeField()
    made_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-period_end", "endpoint", "version", "-pk"]
        verbose_name = "stored report"
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["schedule", "endpoint", "version", "period_start", "period_end"],
                name="one_report_per_schedule_and_period",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "next_attempt_at"], name="stored_report_due")
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} version {self.version}, {self.period_start:%Y-%m-%d %H:%M}"


class DeliveryState(models.TextChoices):
    """The life of a message that carries a report."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class ReportDelivery(models.Model):
    """A stored report on its way to one channel: written with the report, sent by a job of its own."""

    report = models.ForeignKey(StoredReport, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="report_deliveries")
    state = models.CharField(max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    last_error = models.TextField(default="", blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-pk"]
        verbose_name_plural = "report deliveries"
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["report", "channel"], name="one_delivery_per_report_and_channel")
        ]

    def __str__(self) -> str:
        return f"{self.report} to {self.channel} ({self.state})"
