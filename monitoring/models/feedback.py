"""Tables that join a prediction with its truth: the index of predictions, and the feedback."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from monitoring.models.windows import Window


class Prediction(models.Model):
    """One row of one answered request, kept for a time so that a label can find it."""

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="predictions")
    prediction_id = models.CharField(max_length=64)
    row = models.PositiveIntegerField(default=0)
    time = models.DateTimeField(db_index=True)
    label = models.CharField(max_length=200, null=True)  # noqa: DJ001  (None: the model gives no label)
    confidence = models.FloatField(null=True)
    value = models.FloatField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-time", "row"]
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["prediction_id", "row"], name="one_prediction_per_row")
        ]

    def __str__(self) -> str:
        return f"{self.prediction_id}/{self.row}"


class Feedback(models.Model):
    """The truth about one row. Without `prediction` it is pending: the prediction is not here yet."""

    prediction = models.OneToOneField(Prediction, null=True, on_delete=models.SET_NULL, related_name="feedback")
    prediction_key = models.CharField(max_length=64)
    row = models.PositiveIntegerField(default=0)
    label = models.CharField(max_length=200, null=True)  # noqa: DJ001  (None: the truth is a number)
    value = models.FloatField(null=True)
    source = models.CharField(max_length=100, blank=True)
    is_pending = models.BooleanField(default=True)
    claim = models.CharField(max_length=32)
    received_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-received_at"]
        verbose_name_plural = "feedback"
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["prediction_key", "row"], name="one_feedback_per_row")
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["prediction_key"], name="feedback_pending", condition=Q(is_pending=True))
        ]

    def __str__(self) -> str:
        return f"{self.prediction_key}/{self.row}"
