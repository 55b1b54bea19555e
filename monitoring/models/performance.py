"""Tables of performance: counts of labelled predictions, what was observed of all, detectors and what they saw."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from monitoring.models.windows import ServedVersion


class PerformanceWindow(models.Model):
    """Counts of the labelled predictions of one served version and minute (`monitoring.performance.counts`).

    Beside `Window`, not in it: feedback writes here, often late, and must not wait for ingestion.
    """

    served = models.ForeignKey(ServedVersion, on_delete=models.CASCADE, related_name="performance_windows")
    start = models.DateTimeField()  # of the minute of the predictions, or of the hour
    resolution = models.PositiveIntegerField(default=60)  # seconds
    counts = models.BinaryField(default=bytes)

    class Meta:
        ordering: ClassVar[list[str]] = ["start"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["served", "resolution", "start"], name="one_performance_window_per_time")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["start"], name="performance_start")]

    def __str__(self) -> str:
        return f"{self.served} at {self.start:%Y-%m-%d %H:%M}"


class ObservedWindow(models.Model):
    """What ingestion saw of all rows of a minute beyond their profile (`monitoring.performance.observed`)."""

    served = models.ForeignKey(ServedVersion, on_delete=models.CASCADE, related_name="observed_windows")
    start = models.DateTimeField()
    resolution = models.PositiveIntegerField(default=60)  # seconds
    content = models.BinaryField(default=bytes)

    class Meta:
        ordering: ClassVar[list[str]] = ["start"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["served", "resolution", "start"], name="one_observed_window_per_time")
        ]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["start"], name="observed_start")]

    def __str__(self) -> str:
        return f"{self.served} at {self.start:%Y-%m-%d %H:%M}"


class DetectorState(models.Model):
    """A streaming detector of one stream: all that it remembers, and the last window that it has seen."""

    served = models.ForeignKey(ServedVersion, on_delete=models.CASCADE, related_name="detectors")
    stream = models.CharField(max_length=220)  # 'accuracy', or 'feature:NAME'
    state = models.JSONField(default=dict)
    seen_until = models.DateTimeField()  # start of the last window that was fed

    class Meta:
        ordering: ClassVar[list[str]] = ["served", "stream"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["served", "stream"], name="one_detector_per_stream")
        ]

    def __str__(self) -> str:
        return f"{self.served}: {self.stream}"


class DetectedChange(models.Model):
    """A detector saw its stream change in one window."""

    served = models.ForeignKey(ServedVersion, on_delete=models.CASCADE, related_name="changes")
    stream = models.CharField(max_length=220)
    detector = models.CharField(max_length=20)
    at = models.DateTimeField()  # start of the window in which it was seen
    detected_at = models.DateTimeField(db_index=True)  # later, as windows are fed when they are closed
    before = models.FloatField()
    after = models.FloatField()

    class Meta:
        ordering: ClassVar[list[str]] = ["-at", "stream"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["served", "stream", "detector", "at"], name="one_change_per_window")
        ]

    def __str__(self) -> str:
        return f"{self.served}: {self.stream} changed at {self.at:%Y-%m-%d %H:%M} ({self.detector})"
