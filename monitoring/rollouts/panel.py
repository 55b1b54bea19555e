"""The rollouts on the console's home page: what goes on, and what ended last."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from monitoring.rollouts.selectors import list_rollouts
from monitoring.rollouts.vocabulary import ACTIVE

SHOWN = 4


def rollouts_panel() -> dict[str, Any]:
    """Return the panel's context."""
    active = list(list_rollouts().filter(state__in=ACTIVE))
    ended = list(list_rollouts().exclude(state__in=ACTIVE)[: max(0, SHOWN - len(active))])
    return {"rollouts": [*active, *ended], "list_url": reverse("admin:monitoring_rollout_changelist")}
