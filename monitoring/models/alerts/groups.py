"""Groups of alerts that are told together, and what their receivers know of each."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from monitoring.alerts.vocabulary import ToldState
from monitoring.models.alerts.alerts import Alert
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.routes import Route


class AlertGroup(models.Model):
    """The alerts of one route that share the route's `group_by` labels, and the rule's own channels if any.

    `revision` grows with every flush: of two that look at the same time one writes, the other nothing.
    """

    key = models.CharField(max_length=64, unique=True)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="groups")
    labels = models.JSONField(default=dict)
    channels = models.ManyToManyField(Channel, blank=True, related_name="groups", help_text="Empty: the route's.")
    opened_at = models.DateTimeField()
    next_flush_at = models.DateTimeField(null=True, db_index=True, help_text="Null: nothing to tell.")
    notified_at = models.DateTimeField(null=True)
    looked_at = models.DateTimeField(null=True)
    revision = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["-opened_at", "-pk"]
        verbose_name = "alert group"

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels.items()) or "all alerts"


class GroupMember(models.Model):
    """An alert in a group, until its end has been told or there was nothing to tell."""

    group = models.ForeignKey(AlertGroup, on_delete=models.CASCADE, related_name="members")
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="memberships")
    told = models.CharField(max_length=8, choices=ToldState.choices, default=ToldState.NOTHING, blank=True)
    told_at = models.DateTimeField(null=True, help_text="When its firing was first told here.")
    escalated = models.PositiveIntegerField(default=0, help_text="Escalations done.")

    class Meta:
        ordering: ClassVar[list[str]] = ["pk"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["group", "alert"], name="one_membership_per_alert")
        ]

    def __str__(self) -> str:
        return f"{self.alert} in {self.group}"


class AlertmanagerPush(models.Model):
    """What an Alertmanager was last told of an alert, and until when it believes that."""

    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="pushes")
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="pushes")
    told = models.CharField(max_length=8, choices=ToldState.choices)
    pushed_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["channel", "alert"], name="one_push_per_alert")
        ]

    def __str__(self) -> str:
        return f"{self.alert} at {self.channel}: {self.told}"
