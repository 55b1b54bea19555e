"""Reads of rollouts and policies."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from aiplatform.errors import NotFoundError
from monitoring.models.rollouts import PromotionPolicy, Rollout
from monitoring.rollouts.policy import Policy, read_policy
from monitoring.rollouts.vocabulary import ACTIVE


def list_rollouts(endpoint: str | None = None) -> QuerySet[Rollout]:
    """Return rollouts, newest first, of one endpoint if it is named."""
    found = Rollout.objects.prefetch_related("steps").order_by("-created_at", "-pk")
    return found if endpoint is None else found.filter(endpoint=endpoint)


def get_rollout(pk: int) -> Rollout:
    """Return one rollout; NotFoundError if there is none of that number."""
    rollout = Rollout.objects.filter(pk=pk).first()
    if rollout is None:
        raise NotFoundError(f"there is no rollout {pk}")
    return rollout


def list_active_rollouts() -> QuerySet[Rollout]:
    """Return the rollouts that go on, the oldest first."""
    return Rollout.objects.filter(state__in=ACTIVE).order_by("pk")


def find_active_rollout(endpoint: str) -> Rollout | None:
    """Return the rollout that goes on at an endpoint; None if none does."""
    return Rollout.objects.filter(endpoint=endpoint, state__in=ACTIVE).first()


def find_policy_values(endpoint: str) -> dict[str, Any]:
    """Return what is special for an endpoint; empty if all is as the settings say."""
    found = PromotionPolicy.objects.filter(endpoint=endpoint).first()
    return dict(found.values) if found else {}


def get_policy(endpoint: str) -> Policy:
    """Return the policy that an endpoint's next rollout will follow."""
    return read_policy(find_policy_values(endpoint))
