"""What is kept of predictions: a policy an endpoint, and the settings for all others."""

from __future__ import annotations

from django.conf import settings

from aiplatform.contracts.monitoring import StorePolicies, StorePolicy
from monitoring.models import PredictionPolicy


def default_policy() -> StorePolicy:
    """Return the policy of endpoints that have none of their own."""
    return StorePolicy(
        sample_share=settings.STORE_SAMPLE_SHARE,
        retention_days=settings.STORE_RETENTION_DAYS,
        inputs=settings.STORE_INPUTS,
        max_row_bytes=settings.STORE_MAX_ROW_BYTES,
    )


def get_policies() -> StorePolicies:
    """Return all policies, as serving processes follow them."""
    return StorePolicies(
        default=default_policy(), endpoints={row.endpoint: policy_of_row(row) for row in PredictionPolicy.objects.all()}
    )


def policy_of_row(row: PredictionPolicy) -> StorePolicy:
    """Return a row as the contract has it."""
    return StorePolicy(
        sample_share=row.sample_share,
        retention_days=row.retention_days,
        inputs=row.inputs,
        kept_features=tuple(row.kept_features),
        redacted_features=tuple(row.redacted_features),
        hashed_features=tuple(row.hashed_features),
        max_row_bytes=row.max_row_bytes,
    )
