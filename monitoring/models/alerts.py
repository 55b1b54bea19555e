"""Tables of alerts: rules, what they watch, alerts and their timeline, channels, outbox, actions.

Rows of `Alert` copy what they need from the rule, so that they still tell their story after the
rule was changed or deleted.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from monitoring.alerts.rule_validation import rule_problems
from monitoring.alerts.vocabulary import (
    ACTIVE_STATES,
    EVERY_ENDPOINT,
    ActionKind,
    ActionState,
    AlertState,
    Comparison,
    EventKind,
    NoDataPolicy,
    NotificationKind,
    NotificationState,
    Phase,
    Severity,
    TargetState,
    Verdict,
    VersionScope,
)

NAME_LENGTH = 100
ENDPOINT_LENGTH = 63


class Channel(models.Model):
    """Where notifications go. The URL holds passwords and keys: never show it but masked."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    url = models.CharField(
        "address", max_length=1000,
        help_text="An Apprise URL: json://host/path, jsons://, mailto://, slack:// ... A secret: shown masked.",
    )  # fmt: skip
    is_default = models.BooleanField(
        "default", default=True, help_text="Also takes the alerts of rules that name no channel."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(default="", blank=True, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name


class AlertRule(models.Model):
    """What must not happen to an endpoint version, for how long, and what follows if it does."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    endpoint = models.CharField(
        max_length=ENDPOINT_LENGTH, default=EVERY_ENDPOINT, help_text="A name, or * for every endpoint."
    )
    version_scope = models.CharField("versions", max_length=10, choices=VersionScope.choices, default=VersionScope.ANY)
    version = models.PositiveIntegerField(null=True, blank=True, help_text="Only with 'one version'.")
    metric = models.CharField(max_length=60)
    feature = models.CharField(
        max_length=200, default="", blank=True, help_text="For drift: one feature. Empty: the worst of all."
    )
    comparison = models.CharField(max_length=2, choices=Comparison.choices, default=Comparison.GT)
    threshold = models.FloatField()
    window_s = models.PositiveIntegerField("window, s", default=300, help_text="Measured over this time.")
    for_s = models.PositiveIntegerField("for, s", default=0, help_text="Wrong for so long before it fires.")
    keep_firing_for_s = models.PositiveIntegerField(
        "keep firing for, s", default=0, help_text="Well for so long before it resolves: keeps a flapping value quiet."
    )
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    minimum_samples = models.PositiveIntegerField(default=0, help_text="Fewer samples are 'no data'.")
    no_data = models.CharField("without data", max_length=5, choices=NoDataPolicy.choices, default=NoDataPolicy.KEEP)
    labels = models.JSONField(default=dict, blank=True, help_text="Further labels: part of an alert's identity.")
    annotations = models.JSONField(default=dict, blank=True, help_text="Texts shown with an alert: a runbook ...")
    summary = models.CharField(
        max_length=500, default="", blank=True,
        help_text="Text with {endpoint}, {version}, {metric}, {value}, {threshold}, {samples}.",
    )  # fmt: skip
    channels = models.ManyToManyField(
        Channel, blank=True, related_name="rules", help_text="Empty: the default channels."
    )
    repeat_s = models.PositiveIntegerField(
        "repeat, s", default=14_400, help_text="Tell again while it fires and nobody acknowledged it; 0: never."
    )
    action = models.CharField(max_length=10, choices=ActionKind.choices, default=ActionKind.NONE)
    action_cooldown_s = models.PositiveIntegerField(
        "action cooldown, s", default=3600, help_text="No second action on an endpoint within this time."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        verbose_name = "alert rule"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a rule that could never work, field by field.

        Raises: ValidationError naming the rule that is broken and the value received.
        """
        super().clean()
        problems = dict(rule_problems(self))
        if problems:
            raise ValidationError(problems)

    @property
    def condition(self) -> str:
        """Return the condition as people say it."""
        of_feature = f" of {self.feature}" if self.feature else ""
        relation = Comparison(self.comparison).label
        return f"{self.metric}{of_feature} {relation} {self.threshold:g} over {self.window_s} s"


class Silence(models.Model):
    """A time in which matching alerts disturb nobody and, if it says so, act on nothing."""

    endpoint = models.CharField(
        max_length=ENDPOINT_LENGTH, default=EVERY_ENDPOINT, help_text="A name, or * for every endpoint."
    )
    rule = models.ForeignKey(AlertRule, null=True, blank=True, on_delete=models.CASCADE, related_name="silences")
    severity = models.CharField(
        max_length=10, choices=Severity.choices, default="", blank=True, help_text="Empty: every severity."
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    holds_actions = models.BooleanField(default=True, help_text="Matching alerts start no action either.")

    class Meta:
        ordering: ClassVar[list[str]] = ["-ends_at"]

    def __str__(self) -> str:
        return f"{self.endpoint} until {self.ends_at:%Y-%m-%d %H:%M}: {self.reason}"

    def clean(self) -> None:
        """Refuse an end before the start.

        Raises: ValidationError.
        """
        super().clean()
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": f"must be after starts_at ({self.starts_at:%Y-%m-%d %H:%M:%S})"})

    def is_active(self, now: datetime) -> bool:
        """Say whether it holds at a moment."""
        return self.starts_at <= now < self.ends_at


class Alert(models.Model):
    """One time that a rule was broken on one endpoint version, from its start to its end."""

    fingerprint = models.CharField(max_length=16, db_index=True)
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts")
    rule_name = models.CharField(max_length=NAME_LENGTH)
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH)
    version = models.PositiveIntegerField()
    metric = models.CharField(max_length=60)
    feature = models.CharField(max_length=200, default="", blank=True)
    comparison = models.CharField(max_length=2, choices=Comparison.choices)
    threshold = models.FloatField()
    window_s = models.PositiveIntegerField()
    severity = models.CharField(max_length=10, choices=Severity.choices)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    summary = models.CharField(max_length=1000, default="", blank=True)
    state = models.CharField(max_length=10, choices=AlertState.choices)
    reason = models.CharField(max_length=10, choices=Verdict.choices, default=Verdict.BREACH)
    last_verdict = models.CharField(max_length=10, choices=Verdict.choices, default=Verdict.BREACH)
    value = models.FloatField(null=True, help_text="What was measured when it was last wrong.")
    samples = models.PositiveBigIntegerField(default=0)
    message = models.CharField(max_length=1000, default="")
    detail = models.JSONField(default=dict)
    history = models.JSONField(default=list, help_text="[seconds since the epoch, value or null], oldest first")
    started_at = models.DateTimeField()
    fired_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    last_evaluated_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150, default="", blank=True)
    acknowledgement_note = models.CharField(max_length=1000, default="", blank=True)
    resolved_by = models.CharField(max_length=150, default="", blank=True)
    silence = models.ForeignKey(Silence, null=True, on_delete=models.SET_NULL, related_name="alerts")
    notified_at = models.DateTimeField(null=True, help_text="When a firing message was last put out.")

    class Meta:
        ordering: ClassVar[list[str]] = ["-started_at", "-pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["rule", "endpoint", "version"],
                condition=Q(state__in=[state.value for state in ACTIVE_STATES]),
                name="one_active_alert_per_target",
            )
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["state", "-started_at"], name="alert_state")]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.endpoint} version {self.version}"

    @property
    def is_active(self) -> bool:
        """Say whether it is pending or firing."""
        return self.state in ACTIVE_STATES

    @property
    def is_acknowledged(self) -> bool:
        """Say whether somebody has taken it on."""
        return self.acknowledged_at is not None

    @property
    def is_silenced(self) -> bool:
        """Say whether a silence held at the last evaluation or change."""
        return self.silence_id is not None


class RuleTarget(models.Model):
    """One endpoint version that a rule watches, and what the last evaluation found there.

    `revision` grows with every write: an evaluator that read an older one writes nothing.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="targets")
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH)
    version = models.PositiveIntegerField()
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.INACTIVE)
    verdict = models.CharField(max_length=10, choices=Verdict.choices, default=Verdict.NO_DATA)
    state = models.CharField(max_length=10, choices=TargetState.choices, default=TargetState.NO_DATA)
    state_since = models.DateTimeField(null=True)
    breach_since = models.DateTimeField(null=True)
    breached_at = models.DateTimeField(null=True)
    evaluated_at = models.DateTimeField(null=True)
    value = models.FloatField(null=True)
    samples = models.PositiveBigIntegerField(default=0)
    message = models.CharField(max_length=1000, default="")
    recent = models.JSONField(default=list, help_text="The last values, as in Alert.history")
    alert = models.OneToOneField(Alert, null=True, on_delete=models.SET_NULL, related_name="target")
    revision = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["rule", "endpoint", "version"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["rule", "endpoint", "version"], name="one_target_per_rule_and_version")
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} version {self.version}: {self.state}"


class AlertEvent(models.Model):
    """One line of an alert's timeline."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=EventKind.choices)
    text = models.CharField(max_length=1000, default="", blank=True)
    actor = models.CharField(max_length=150, default="", blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.kind} {self.text}"


class Notification(models.Model):
    """A message in the outbox: written with the step that it tells of, sent by a job of its own."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="notifications")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=NotificationKind.choices)
    key = models.CharField(max_length=100, unique=True, help_text="Made of alert, channel, kind and time: never twice.")
    title = models.CharField(max_length=300)
    body = models.TextField()
    state = models.CharField(max_length=10, choices=NotificationState.choices, default=NotificationState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    last_error = models.TextField(default="", blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-pk"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["state", "next_attempt_at"], name="notification_due")
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.state})"


class ActionRun(models.Model):
    """What a rule did by itself, once a firing: ordered with the alert, carried out by a job."""

    alert = models.OneToOneField(Alert, on_delete=models.CASCADE, related_name="action_run")
    kind = models.CharField(max_length=10, choices=ActionKind.choices)
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH, db_index=True)
    version = models.PositiveIntegerField()
    idempotency_key = models.CharField(max_length=80, unique=True)
    state = models.CharField(max_length=10, choices=ActionState.choices, default=ActionState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    claimed_until = models.DateTimeField(null=True)
    error = models.TextField(default="", blank=True)
    evidence = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.kind} {self.endpoint} ({self.state})"


class ShippedRule(models.Model):
    """A default rule that was made here once, so that it is not made again when it was deleted."""

    key = models.CharField(max_length=40, primary_key=True)
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.key
