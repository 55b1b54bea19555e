"""Times in which matching alerts disturb nobody."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from monitoring.alerts.matchers import matcher_problems
from monitoring.models.alerts.routes import MATCHERS_HELP


class Silence(models.Model):
    """A time in which matching alerts disturb nobody and, if it says so, act on nothing."""

    matchers = models.JSONField(help_text=f"All must match. {MATCHERS_HELP}")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    holds_actions = models.BooleanField(default=True, help_text="Matching alerts start no action either.")

    class Meta:
        ordering: ClassVar[list[str]] = ["-ends_at"]

    def __str__(self) -> str:
        return f"{', '.join(self.matchers)} until {self.ends_at:%Y-%m-%d %H:%M}: {self.reason}"

    def clean(self) -> None:
        """Refuse an end before the start, and matchers that match everything or cannot be read.

        Raises: ValidationError.
        """
        super().clean()
        problems = dict(matcher_problems("matchers", self.matchers, is_needed=True))
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            problems["ends_at"] = f"must be after starts_at ({self.starts_at:%Y-%m-%d %H:%M:%S})"
        if problems:
            raise ValidationError(problems)

    def is_active(self, now: datetime) -> bool:
        """Say whether it holds at a moment."""
        return self.starts_at <= now < self.ends_at
