"""Times in which matching alerts disturb nobody."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from monitoring.alerts.vocabulary import EVERY_ENDPOINT, Severity
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH
from monitoring.models.alerts.rules import AlertRule


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
