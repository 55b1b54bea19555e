"""Alerts and their timelines.

Rows of `Alert` copy what they need from the rule, so that they still tell their story after the
rule was changed or deleted.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from monitoring.alerts.conditions import measured_name
from monitoring.alerts.vocabulary import (
    ACTIVE_STATES,
    STANDING_STATES,
    AlertState,
    Comparison,
    EventKind,
    Severity,
    Verdict,
)
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH, NAME_LENGTH
from monitoring.models.alerts.rules import AlertRule
from monitoring.models.alerts.silences import Silence


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
    condition = models.CharField(max_length=300, default="", help_text="The rule's condition as people say it.")
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
    muted_reason = models.CharField(
        max_length=200,
        default="",
        blank=True,
        help_text="Why nobody is told now: a silence, an inhibition, quiet hours.",
    )
    notified_at = models.DateTimeField(null=True, help_text="When a message about it was last put out.")

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
    def measured_name(self) -> str:
        """Return what the value is a value of: the metric, or its change."""
        return measured_name(self.metric, self.condition)

    @property
    def is_active(self) -> bool:
        """Say whether it is pending, firing or recovering."""
        return self.state in ACTIVE_STATES

    @property
    def is_standing(self) -> bool:
        """Say whether it has fired and is not over."""
        return self.state in STANDING_STATES

    @property
    def is_acknowledged(self) -> bool:
        """Say whether somebody has taken it on."""
        return self.acknowledged_at is not None

    @property
    def is_silenced(self) -> bool:
        """Say whether a silence held at the last evaluation or change."""
        return self.silence_id is not None


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
