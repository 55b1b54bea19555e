"""Routes: which alerts are told together, when, and to whom; escalations; inhibitions."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from monitoring.alerts.durations import duration_text
from monitoring.alerts.matchers import label_name_problems, matcher_problems
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.lengths import NAME_LENGTH

MATCHERS_HELP = 'One a line: endpoint="digits", severity=~"critical|warning", team!="vision", version!~"1|2".'


def default_group_by() -> list[str]:
    """Return the labels that alerts told together share: one rule on one endpoint."""
    return ["alertname", "endpoint"]


class Route(models.Model):
    """Takes the alerts that match. The first route by `position` that matches takes an alert; the default one the rest.

    Times are Alertmanager's, with its defaults.
    """

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    position = models.PositiveIntegerField(default=100, help_text="Lower is asked first.")
    matchers = models.JSONField(default=list, blank=True, help_text=MATCHERS_HELP)
    continues = models.BooleanField(default=False, help_text="Alerts it takes are offered to later routes too.")
    is_default = models.BooleanField("default", default=False, editable=False)
    group_by = models.JSONField(
        default=default_group_by, blank=True,
        help_text="Labels that alerts of one message share. None: all in one; ...: each by itself.",
    )  # fmt: skip
    group_wait_s = models.PositiveIntegerField(
        "group wait, s", default=30, help_text="A new group waits so long for more alerts before its first message."
    )
    group_interval_s = models.PositiveIntegerField(
        "group interval, s", default=300, help_text="What changes in a group is told after so long at the earliest."
    )
    repeat_interval_s = models.PositiveIntegerField(
        "repeat interval, s", default=14_400, help_text="Told again while unchanged and not acknowledged; 0: never."
    )
    channels = models.ManyToManyField(
        Channel, blank=True, related_name="routes", help_text="Empty: the default channels."
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["is_default", "position", "pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_route")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse matchers and labels that cannot be.

        Raises: ValidationError naming field and value.
        """
        super().clean()
        problems = dict(matcher_problems("matchers", self.matchers))
        if self.is_default and self.matchers:
            problems["matchers"] = "the default route takes what no other takes; it has no matchers"
        problems |= dict(label_name_problems("group_by", self.group_by, also=("...",)))
        if self.group_interval_s is not None and self.group_interval_s < 1:
            problems["group_interval_s"] = "must be at least 1 second"
        if problems:
            raise ValidationError(problems)


class Escalation(models.Model):
    """Whom a route tells too, once an alert has been told and nobody acknowledged it for a time."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="escalations")
    after_s = models.PositiveIntegerField("after, s", default=1800)
    channels = models.ManyToManyField(Channel, related_name="escalations")

    class Meta:
        ordering: ClassVar[list[str]] = ["after_s", "pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["route", "after_s"], name="one_escalation_per_time")
        ]

    def __str__(self) -> str:
        return f"{self.route} after {duration_text(self.after_s)}"


class Inhibition(models.Model):
    """While an alert that matches the source fires, those that match the target are told to nobody."""

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    source_matchers = models.JSONField(help_text=f"The alert that says enough. {MATCHERS_HELP}")
    target_matchers = models.JSONField(help_text=f"The alerts that add nothing then. {MATCHERS_HELP}")
    equal = models.JSONField(
        default=list, blank=True, help_text="Labels that must be the same on both: endpoint, version ..."
    )
    is_enabled = models.BooleanField("enabled", default=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse matchers and labels that cannot be.

        Raises: ValidationError naming field and value.
        """
        super().clean()
        problems = dict(matcher_problems("source_matchers", self.source_matchers, is_needed=True))
        problems |= dict(matcher_problems("target_matchers", self.target_matchers, is_needed=True))
        problems |= dict(label_name_problems("equal", self.equal))
        if problems:
            raise ValidationError(problems)
