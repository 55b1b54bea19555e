"""The words of retrainings."""

from __future__ import annotations

from django.db.models import TextChoices


class RetrainingState(TextChoices):
    """How far a retraining has come."""

    COLLECTING = "collecting", "collecting labelled predictions"
    TRAINING = "training"
    STARTING = "starting", "waits to be rolled out"
    DONE = "done", "its rollout has begun"
    FAILED = "failed"


UNFINISHED = (RetrainingState.COLLECTING, RetrainingState.TRAINING, RetrainingState.STARTING)
