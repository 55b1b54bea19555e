"""System checks of monitoring's settings. Ids: monitoring.E0xx errors, monitoring.W0xx warnings."""

from __future__ import annotations

import itertools
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

_POSITIVE = (
    "WINDOW_RETENTION_DAYS", "WINDOW_HOUR_RETENTION_DAYS", "WINDOW_MINUTE_RETENTION_DAYS", "PREDICTION_RETENTION_DAYS",
    "PREDICTION_RETENTION_ROWS", "PENDING_FEEDBACK_HOURS", "MAX_WATCHED_FEATURES", "DRIFT_PSI_THRESHOLD",
    "DRIFT_WASSERSTEIN_THRESHOLD", "DRIFT_SMALL_BASELINE",
)  # fmt: skip
_SHARES = (
    "DRIFT_KS_THRESHOLD", "DRIFT_JS_THRESHOLD", "DRIFT_SIGNIFICANCE", "ACCURACY_MAX_DROP", "REPORT_MAX_ERROR_RATE",
)  # fmt: skip


def check_monitoring_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Limits, thresholds and retentions are usable, and fit together."""
    return [*_check_numbers(), *_check_retention(), *_check_drift()]


def _check_numbers() -> list[CheckMessage]:
    problems: list[CheckMessage] = [
        Error(
            f"{name} must be above 0, not {getattr(settings, name):g}",
            hint=f"Unset {name} for its default.",
            id="monitoring.E001",
        )
        for name in _POSITIVE
        if getattr(settings, name) <= 0
    ]
    problems += [
        Error(
            f"{name} must be between 0 and 1, not {getattr(settings, name):g}",
            hint=f"Unset {name} for its default.",
            id="monitoring.E002",
        )
        for name in _SHARES
        if not 0 < getattr(settings, name) < 1
    ]
    return problems


def _check_retention() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    shorter = ("WINDOW_MINUTE_RETENTION_DAYS", "WINDOW_HOUR_RETENTION_DAYS", "WINDOW_RETENTION_DAYS")
    for short, long in itertools.pairwise(shorter):
        if getattr(settings, short) > getattr(settings, long):
            problems.append(
                Error(
                    f"{short} ({getattr(settings, short):g}) is longer than {long} ({getattr(settings, long):g})",
                    hint="Fine windows are rolled up into coarse ones, which live longer.",
                    id="monitoring.E005",
                )
            )
    if settings.PREDICTION_RETENTION_DAYS <= settings.WINDOW_RETENTION_DAYS:
        return problems
    return [
        *problems,
        Error(
            f"PREDICTION_RETENTION_DAYS ({settings.PREDICTION_RETENTION_DAYS:g}) is longer than "
            f"WINDOW_RETENTION_DAYS ({settings.WINDOW_RETENTION_DAYS:g})",
            hint="A label is counted in its prediction's window, so windows must live as long as predictions.",
            id="monitoring.E003",
        ),
    ]


def _check_drift() -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if settings.DRIFT_PERIOD_S < 60:
        problems.append(
            Error(
                f"DRIFT_PERIOD_S must be 60 or more, not {settings.DRIFT_PERIOD_S:g}",
                hint="A window is a minute.",
                id="monitoring.E004",
            )
        )
    if not 0 < settings.DRIFT_DATASET_SHARE <= 1:
        problems.append(
            Error(
                f"DRIFT_DATASET_SHARE must be above 0 and at most 1, not {settings.DRIFT_DATASET_SHARE:g}",
                hint="Unset DRIFT_DATASET_SHARE for its default.",
                id="monitoring.E006",
            )
        )
    if settings.WINDOW_ROLLUP_DELAY_S < 0:
        problems.append(
            Error(
                f"WINDOW_ROLLUP_DELAY_S must not be negative, but is {settings.WINDOW_ROLLUP_DELAY_S:g}",
                hint="Unset WINDOW_ROLLUP_DELAY_S for its default.",
                id="monitoring.E007",
            )
        )
    if settings.DRIFT_MIN_SAMPLES < 30:
        problems.append(
            Warning(
                f"DRIFT_MIN_SAMPLES is {settings.DRIFT_MIN_SAMPLES}: fewer than 30 say little about ten bins",
                hint="Set DRIFT_MIN_SAMPLES to 100 or more.",
                id="monitoring.W001",
            )
        )
    return problems
