"""The outbox of messages."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from monitoring.alerts.vocabulary import NotificationKind, NotificationState
from monitoring.models.alerts.alerts import Alert
from monitoring.models.alerts.channels import Channel
from monitoring.models.alerts.groups import AlertGroup


class Notification(models.Model):
    """A message in the outbox: written with the step that it tells of, sent by a job of its own."""

    alert = models.ForeignKey(
        Alert, on_delete=models.CASCADE, related_name="leading_notifications", help_text="The first of `alerts`."
    )
    alerts = models.ManyToManyField(Alert, related_name="notifications")
    group = models.ForeignKey(AlertGroup, null=True, on_delete=models.SET_NULL, related_name="notifications")
    stream = models.CharField(max_length=40, db_index=True, help_text="Messages of one stream go out in order.")
    tone = models.CharField(max_length=10, default="warning", help_text="info, warning, failure or success")
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=10, choices=NotificationKind.choices)
    key = models.CharField(
        max_length=100, unique=True, help_text="Made of stream, channel, kind and time: never twice."
    )
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
