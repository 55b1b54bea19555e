"""Tables of retrainings: from the order to the rollout of what came of it."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from monitoring.actions.vocabulary import RetrainingState
from monitoring.models.alerts.lengths import ENDPOINT_LENGTH
from monitoring.models.rollouts import Rollout


class Retraining(models.Model):
    """One retraining that an alert or a person ordered; each state is left by one conditional update."""

    key = models.CharField(max_length=200, unique=True)
    endpoint = models.CharField(max_length=ENDPOINT_LENGTH, db_index=True)
    model = models.CharField(max_length=63)
    base_version = models.PositiveIntegerField()
    source = models.CharField(max_length=1000, blank=True, help_text="A data URI instead of the labelled predictions")
    state = models.CharField(max_length=10, choices=RetrainingState.choices, default=RetrainingState.COLLECTING)
    text = models.CharField(max_length=1000, blank=True)
    data_uri = models.CharField(max_length=1000, blank=True, help_text="The labelled predictions it learns from")
    labelled = models.PositiveIntegerField(default=0)
    run_id = models.CharField(max_length=40, blank=True)
    version = models.PositiveIntegerField(null=True)
    rollout = models.ForeignKey(Rollout, null=True, on_delete=models.SET_NULL, related_name="retrainings")
    policy = models.JSONField(default=dict, help_text="Over the endpoint's own, for the rollout")
    ordered_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=1000, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.endpoint} from version {self.base_version} ({self.get_state_display()})"
