"""What each rule watches, and what it found there last."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from monitoring.alerts.vocabulary import Phase, TargetState, Verdict
from monitoring.models.alerts.alerts import Alert
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH
from monitoring.models.alerts.rules import AlertRule


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
