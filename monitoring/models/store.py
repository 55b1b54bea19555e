"""Tables of the prediction store: what is kept, what was deleted. The rows themselves are files."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models


class PredictionPolicy(models.Model):
    """What the store keeps of an endpoint's predictions; endpoints without a row follow the settings."""

    class Inputs(models.TextChoices):
        FULL = "full", "as they are"
        HASH = "hash", "as a pseudonym"
        NONE = "none", "not at all"

    endpoint = models.CharField(max_length=63, unique=True)
    sample_share = models.FloatField(
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="Share of the predictions that are kept whole, 0 to 1.",
    )
    retention_days = models.FloatField(
        validators=[MinValueValidator(1.0)], help_text="Days that they are kept; whole days are removed."
    )
    inputs = models.CharField(max_length=4, choices=Inputs.choices, default=Inputs.FULL)
    kept_features = models.JSONField(default=list, blank=True, help_text="Input tensors to keep; empty: all.")
    redacted_features = models.JSONField(default=list, blank=True, help_text="Input tensors that are never kept.")
    hashed_features = models.JSONField(
        default=list, blank=True, help_text="Input tensors kept as a pseudonym: equal values stay equal, nothing else."
    )
    max_row_bytes = models.PositiveIntegerField(
        default=1024 * 1024, help_text="Inputs of a row that are larger are kept as a pseudonym only."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["endpoint"]
        verbose_name_plural = "prediction policies"

    def __str__(self) -> str:
        return self.endpoint


class PredictionDeletion(models.Model):
    """An order to forget predictions, and how far it is: the audit entry, and the tombstone of a subject.

    Rows of a subject up to `requested_at` are gone for every reader from the moment this is written.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        REMOVED = "removed"  # what was here is; a later pass looks for what was on its way
        DONE = "done"

    pseudonyms = models.JSONField(default=list)  # of the subject, one a secret; empty: single predictions
    predictions = models.PositiveIntegerField(default=0)  # ids named, or found for the subject
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING, db_index=True)
    stored_rows = models.PositiveIntegerField(default=0)  # removed from files
    index_rows = models.PositiveIntegerField(default=0)
    feedback_rows = models.PositiveIntegerField(default=0)
    requested_by = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    requested_at = models.DateTimeField(db_index=True)
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(default="", blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-requested_at", "-pk"]

    def __str__(self) -> str:
        return f"{'a subject' if self.pseudonyms else 'predictions'}, {self.requested_at:%Y-%m-%d %H:%M}"


class DeletedPrediction(models.Model):
    """The tombstone of one prediction: whatever arrives of it later is not kept."""

    prediction_id = models.CharField(max_length=64, unique=True)
    deletion = models.ForeignKey(PredictionDeletion, on_delete=models.CASCADE, related_name="tombstones")

    class Meta:
        ordering: ClassVar[list[Any]] = ["prediction_id"]

    def __str__(self) -> str:
        return self.prediction_id


class StoreLease(models.Model):
    """Who may rewrite files of the store now; one at a time."""

    name = models.CharField(max_length=40, primary_key=True)
    holder = models.CharField(max_length=100, blank=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} until {self.until:%H:%M:%S}"
