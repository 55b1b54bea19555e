"""Tables of statistics: which versions serve, their windows of a minute, their baselines."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class ServedVersion(models.Model):
    """An artifact that answers under an endpoint's name; made when its first batch arrives."""

    endpoint = models.CharField(max_length=63)
    model = models.CharField(max_length=63)
    version = models.PositiveIntegerField()
    artifact_uri = models.CharField(max_length=1000)
    artifact_digest = models.CharField(max_length=80)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["endpoint", "-version", "-last_seen_at"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["endpoint", "model", "version", "artifact_digest"], name="one_row_per_served_artifact"
            )
        ]

    def __str__(self) -> str:
        return f"{self.endpoint} version {self.version}"


class Report(ServedVersion):
    """A served version as the console lists it: by its performance report."""

    class Meta:
        proxy = True
        verbose_name = "performance report"


class Window(models.Model):
    """What one served version did in one minute, hour or day; cost does not grow with traffic.

    `sketches` is a packed `DataProfile` of features and outputs (monitoring.packing), which rows once
    had as JSON in `profile`; `latency` a packed KLL sketch of milliseconds of answered requests (monitoring.latencies).
    Labels are counted in the window of their prediction. What is `is_rolled_up` is also counted in the
    next coarser window, and takes no more; what comes late goes into a second row of the same time.
    """

    class Resolution(models.IntegerChoices):
        MINUTE = 60
        HOUR = 3600
        DAY = 86400

    served = models.ForeignKey(ServedVersion, on_delete=models.CASCADE, related_name="windows")
    start = models.DateTimeField()
    resolution = models.PositiveIntegerField(choices=Resolution.choices, default=Resolution.MINUTE)  # seconds
    is_rolled_up = models.BooleanField(default=False)
    rows = models.PositiveBigIntegerField(default=0)  # answered predictions
    requests = models.PositiveBigIntegerField(default=0)  # answered or failed
    errors = models.PositiveBigIntegerField(default=0)  # requests with a 5xx
    rejected = models.PositiveBigIntegerField(default=0)  # requests with a 4xx
    latency = models.BinaryField(default=bytes)
    profile = models.JSONField(default=dict)
    sketches = models.BinaryField(default=bytes)
    confidence_sum = models.FloatField(default=0.0)
    confidence_count = models.PositiveBigIntegerField(default=0)
    labelled = models.BigIntegerField(default=0)
    correct = models.BigIntegerField(default=0)
    valued = models.BigIntegerField(default=0)  # predictions of a number whose truth is known
    absolute_error_sum = models.FloatField(default=0.0)
    squared_error_sum = models.FloatField(default=0.0)

    class Meta:
        ordering: ClassVar[list[str]] = ["start"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(
                fields=["served", "resolution", "start", "is_rolled_up"], name="one_open_window_per_time"
            )
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["start"], name="window_start"),
            models.Index(fields=["resolution", "start"], name="window_open", condition=models.Q(is_rolled_up=False)),
        ]

    def __str__(self) -> str:
        return f"{self.served} at {self.start:%Y-%m-%d %H:%M}"


class IngestedBatch(models.Model):
    """The id of a batch that has been counted; a second arrival finds it and counts nothing.

    `claim` is drawn by each call, so that a call sees which ids were new in its own transaction.
    """

    batch_id = models.CharField(max_length=80, primary_key=True)
    claim = models.CharField(max_length=32, db_index=True)
    received_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.batch_id


class Baseline(models.Model):
    """The profile that an artifact carries, or why there is none; one row a digest."""

    class State(models.TextChoices):
        READY = "ready"
        MISSING = "missing"

    artifact_digest = models.CharField(max_length=80, primary_key=True)
    state = models.CharField(max_length=10, choices=State.choices)
    reason = models.TextField(default="", blank=True)
    profile = models.JSONField(default=dict)
    calibration = models.JSONField(default=dict)  # aiplatform.calibration; empty if the artifact has none
    accuracy = models.FloatField(null=True)  # on the trainer's held-out data, from the manifest
    checked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.artifact_digest} ({self.state})"
