"""System checks of the prediction store's settings. Ids continue those of monitoring.checks: E05x and W05x."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from aiplatform.roles import INFERENCE, MONITORING

_INPUTS = ("full", "hash", "none")


def check_store_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """What is kept, for how long, and the secrets behind pseudonyms are usable."""
    if not {INFERENCE, MONITORING} & settings.ROLES:
        return []
    return [*_check_numbers(), *_check_inputs(), *_check_secrets()]


def _check_numbers() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if not 0 <= settings.STORE_SAMPLE_SHARE <= 1:
        problems.append(
            Error(
                f"STORE_SAMPLE_SHARE must be from 0 to 1, not {settings.STORE_SAMPLE_SHARE:g}",
                hint="0.01 keeps one prediction of a hundred.",
                id="monitoring.E050",
            )
        )
    least = {
        "STORE_RETENTION_DAYS": 1, "STORE_MAX_ROW_BYTES": 1, "STORE_BATCH_BYTES": 1024, "STORE_INTERVAL_S": 1,
        "STORE_SPOOL_MAX_BYTES": settings.STORE_BATCH_BYTES, "STORE_POLICY_REFRESH_S": 0.1, "STORE_COMPACT_AFTER_S": 0,
    }  # fmt: skip
    problems += [
        Error(
            f"{name} must be {bound} or more, not {getattr(settings, name):g}",
            hint=f"Unset {name} for its default.",
            id="monitoring.E051",
        )
        for name, bound in least.items()
        if getattr(settings, name) < bound
    ]
    return problems


def _check_inputs() -> list[CheckMessage]:
    if settings.STORE_INPUTS in _INPUTS:
        return []
    return [
        Error(
            f"STORE_INPUTS '{settings.STORE_INPUTS}' is not one of {', '.join(_INPUTS)}",
            hint="Set STORE_INPUTS to full, hash or none.",
            id="monitoring.E052",
        )
    ]


def _check_secrets() -> list[CheckMessage]:
    secrets = [secret for secret in settings.PREDICTION_HASH_SECRETS if secret]
    if not settings.DEBUG and any(len(secret) < 32 for secret in secrets):
        return [
            Error(
                "a secret in PREDICTION_HASH_SECRETS is shorter than 32 characters",
                hint="python -c 'import secrets; print(secrets.token_hex(32))'",
                id="monitoring.E053",
            )
        ]
    if secrets:
        return []
    return [
        Warning(
            "PREDICTION_HASH_SECRETS is not set: stored predictions name no subject, hashed features are dropped",
            hint="Set one random secret of 32 characters, the same for inference and monitoring, and keep it.",
            id="monitoring.W050",
        )
    ]
