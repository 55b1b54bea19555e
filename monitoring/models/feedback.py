"""Tables that join a prediction with its truth: the index of predictions, and the feedback."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from monitoring.models.windows import Window


class PredictionBlock(models.Model):
    """The answered rows of one batch in one minute, kept for a time so that labels can find them.

    `content` is packed (monitoring.blocks). `first_id` and `last_id` are the least and the greatest
    key in it, 32 hex digits; keys sort by time, so a block spans seconds. `is_wide` marks the few
    blocks for which that is not so.
    """

    window = models.ForeignKey(Window, on_delete=models.CASCADE, related_name="blocks")
    first_id = models.CharField(max_length=32)
    last_id = models.CharField(max_length=32)
    is_wide = models.BooleanField(default=False)
    rows = models.PositiveIntegerField()
    time = models.DateTimeField()  # of its latest row
    content = models.BinaryField()

    class Meta:
        ordering: ClassVar[list[str]] = ["-pk"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["first_id", "last_id"], name="block_ids"),
            models.Index(fields=["time", "rows"], name="block_time"),
            models.Index(fields=["first_id"], name="block_wide", condition=Q(is_wide=True)),
        ]

    def __str__(self) -> str:
        return f"{self.rows} predictions from {self.first_id}"


class Prediction(PredictionBlock):
    """The predictions as the console lists them: row by row, out of their blocks."""

    class Meta:
        proxy = True
        verbose_name = "prediction"


class Feedback(models.Model):
    """The truth about one row. While it is pending the prediction is not here yet.

    `block` holds the prediction it has joined, `predicted_label` and `predicted_value` what that said.
    """

    block = models.ForeignKey(PredictionBlock, null=True, on_delete=models.SET_NULL, related_name="feedback")
    predicted_label = models.CharField(max_length=200, null=True)  # noqa: DJ001  (None: the model gives no label)
    predicted_value = models.FloatField(null=True)
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
