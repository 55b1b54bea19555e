"""Forgets rollouts, shadow counts and holds that are long over."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitoring.actions.vocabulary import UNFINISHED
from monitoring.models.retrainings import Retraining
from monitoring.models.rollouts import AutomationHold, Rollout, ShadowCount
from monitoring.rollouts.vocabulary import OVER

SHADOW_DAYS = 7.0  # the steps keep what was counted


def delete_old_rollouts(*, now: datetime, keep_days: float) -> None:
    """Delete what ended before the time that is kept; safe to run twice."""
    before = now - timedelta(days=keep_days)
    Rollout.objects.filter(state__in=OVER, ended_at__lt=before).delete()
    Retraining.objects.filter(ended_at__lt=before).exclude(state__in=UNFINISHED).delete()
    AutomationHold.objects.filter(lifted_at__lt=before).delete()
    ShadowCount.objects.filter(until__lt=now - timedelta(days=SHADOW_DAYS)).delete()
