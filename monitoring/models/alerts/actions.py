"""What rules did by themselves."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from monitoring.alerts.vocabulary import ActionKind, ActionState
from monitoring.models.alerts.alerts import Alert
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH


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
