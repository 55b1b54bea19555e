"""Times of the week in which rules are muted or paused."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.db import models

from monitoring.alerts.quiet import quiet_problems
from monitoring.alerts.vocabulary import QuietEffect
from monitoring.models.alerts.lengths import NAME_LENGTH


def every_day() -> list[str]:
    """Return all days of the week."""
    return ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class QuietHours(models.Model):
    """From `starts` to `ends` on some days, on the clocks of one time zone.

    An end at or before the start is on the next day; the days are those on which it starts.
    """

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    effect = models.CharField(max_length=5, choices=QuietEffect.choices, default=QuietEffect.MUTE)
    days = models.JSONField(default=every_day, help_text="The days on which it starts.")
    starts = models.TimeField(help_text="On the clock of the time zone.")
    ends = models.TimeField(help_text="At or before the start: on the next day.")
    time_zone = models.CharField(max_length=64, default="UTC", help_text="Europe/Zurich, America/New_York, UTC ...")

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        verbose_name = "quiet hours"
        verbose_name_plural = "quiet hours"

    def __str__(self) -> str:
        return f"{self.name} ({self.effect})"

    def clean(self) -> None:
        """Refuse days and zones that do not exist.

        Raises: ValidationError.
        """
        super().clean()
        problems = dict(quiet_problems(self.days, self.time_zone))
        if problems:
            raise ValidationError(problems)
