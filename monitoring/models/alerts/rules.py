"""Alert rules: what must not happen; and which ready-made ones were made here."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from monitoring.alerts.conditions import condition_text
from monitoring.alerts.rule_validation import rule_problems
from monitoring.alerts.vocabulary import (
    EVERY_ENDPOINT,
    ActionKind,
    ChangeUnit,
    Comparison,
    NoDataPolicy,
    Reference,
    RuleKind,
    Severity,
    VersionScope,
)
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH, NAME_LENGTH
from monitoring.models.alerts.quiet_hours import QuietHours


class AlertRule(models.Model):
    """What must not happen to an endpoint version, for how long, and what follows if it does."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    endpoint = models.CharField(
        max_length=ENDPOINT_LENGTH, default=EVERY_ENDPOINT, help_text="A name, or * for every endpoint."
    )
    version_scope = models.CharField("versions", max_length=10, choices=VersionScope.choices, default=VersionScope.ANY)
    version = models.PositiveIntegerField(null=True, blank=True, help_text="Only with 'one version'.")
    kind = models.CharField(
        "what is wrong", max_length=10, choices=RuleKind.choices, default=RuleKind.THRESHOLD,
        help_text="The value is beyond the threshold; it changed by more than the threshold; or it is missing.",
    )  # fmt: skip
    metric = models.CharField(max_length=60)
    feature = models.CharField(
        max_length=200, default="", blank=True, help_text="For drift: one feature. Empty: the worst of all."
    )
    comparison = models.CharField(max_length=2, choices=Comparison.choices, default=Comparison.GT)
    threshold = models.FloatField(
        default=0.0, help_text="Of a relative change: 0.5 is half as much again, -0.5 half as much. Absence needs none."
    )
    change_unit = models.CharField(
        "change as", max_length=8, choices=ChangeUnit.choices, default=ChangeUnit.ABSOLUTE, help_text="Change only."
    )
    reference = models.CharField(
        "compared with", max_length=8, choices=Reference.choices, default=Reference.EARLIER, help_text="Change only."
    )
    offset_s = models.PositiveIntegerField(
        "so long ago, s", default=86_400,
        help_text="Change only: the same window so long ago. 86400: yesterday at this time; 604800: last week.",
    )  # fmt: skip
    window_s = models.PositiveIntegerField("window, s", default=300, help_text="Measured over this time.")
    for_s = models.PositiveIntegerField("for, s", default=0, help_text="Wrong for so long before it fires.")
    keep_firing_for_s = models.PositiveIntegerField(
        "keep firing for, s", default=0, help_text="Well for so long before it resolves: keeps a flapping value quiet."
    )
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    minimum_samples = models.PositiveIntegerField(default=0, help_text="Fewer samples are 'no data'.")
    no_data = models.CharField("without data", max_length=5, choices=NoDataPolicy.choices, default=NoDataPolicy.KEEP)
    on_error = models.CharField(
        "if it cannot be measured", max_length=5, choices=NoDataPolicy.choices, default=NoDataPolicy.KEEP
    )
    quiet_hours = models.ManyToManyField(
        QuietHours, blank=True, related_name="rules", help_text="Times that mute or pause this rule."
    )
    labels = models.JSONField(default=dict, blank=True, help_text="Further labels: part of an alert's identity.")
    annotations = models.JSONField(default=dict, blank=True, help_text="Texts shown with an alert: a runbook ...")
    summary = models.CharField(
        max_length=500, default="", blank=True,
        help_text="Text with {endpoint}, {version}, {metric}, {value}, {threshold}, {samples}.",
    )  # fmt: skip
    channels = models.ManyToManyField(
        Channel, blank=True, related_name="rules", help_text="Empty: those of the route that takes the alert."
    )
    action = models.CharField(max_length=10, choices=ActionKind.choices, default=ActionKind.NONE)
    action_cooldown_s = models.PositiveIntegerField(
        "action cooldown, s", default=3600, help_text="No second action on an endpoint within this time."
    )
    action_limit_per_day = models.PositiveIntegerField(
        "actions a day", default=3, help_text="No more in 24 hours, over all endpoints of the rule; 0: no limit."
    )
    action_is_dry_run = models.BooleanField(
        "dry run", default=False, help_text="Write down what it would do; do nothing."
    )
    action_source = models.CharField(
        "retrain on", max_length=1000, default="", blank=True,
        help_text="A data URI. Empty: what the version learnt from, and the labelled predictions since.",
    )  # fmt: skip
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
        return condition_text(self)


class ShippedRule(models.Model):
    """A default rule that was made here once, so that it is not made again when it was deleted."""

    key = models.CharField(max_length=40, primary_key=True)
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.key
