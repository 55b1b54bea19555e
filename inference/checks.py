"""System checks of the inference settings. Ids: inference.E0xx."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from aiplatform.checks import SETTINGS
from aiplatform.roles import INFERENCE

_AT_LEAST = {
    "RECONCILE_INTERVAL_S": (0.05, "inference.E001"),
    "RECORDER_FLUSH_INTERVAL_S": (0.05, "inference.E002"),
    "RECORDER_BATCH_ROWS": (1, "inference.E003"),
    "RECORDER_QUEUE_BYTES": (1024 * 1024, "inference.E004"),
    "SPOOL_MAX_BYTES": (1024 * 1024, "inference.E005"),
    "MAX_BATCH_ROWS": (1, "inference.E006"),
    "PREDICT_DEADLINE_S": (0.001, "inference.E007"),
    "COMPILE_TIMEOUT_S": (1, "inference.E010"),
    "WATCHED_ROWS_PER_S": (0, "inference.E013"),
}


@register(SETTINGS)
def check_bounds(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Refuse settings with which serving could not work."""
    return [
        Error(
            f"{name} must be at least {least}, not {getattr(settings, name)}",
            hint=f"Unset {name} to get its default; docs/settings.md says what it does.",
            id=check_id,
        )
        for name, (least, check_id) in _AT_LEAST.items()
        if getattr(settings, name) < least
    ]


@register(SETTINGS)
def check_shipping(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The kernel knows these priorities, and gives higher ones to root only."""
    if 0 <= settings.SHIPPING_NICE <= 19:
        return []
    return [
        Error(
            f"SHIPPING_NICE must be 0 to 19, not {settings.SHIPPING_NICE}",
            hint="Unset SHIPPING_NICE to get its default, 19.",
            id="inference.E012",
        )
    ]


@register(SETTINGS)
def check_queue(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A queue that cannot hold one batch would refuse what an engine could run at once."""
    if settings.MAX_QUEUE_ROWS >= settings.MAX_BATCH_ROWS:
        return []
    return [
        Error(
            f"MAX_QUEUE_ROWS ({settings.MAX_QUEUE_ROWS}) is smaller than MAX_BATCH_ROWS ({settings.MAX_BATCH_ROWS})",
            hint="Let the queue hold several batches.",
            id="inference.E008",
        )
    ]


@register(SETTINGS)
def check_data_dir(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A serving process needs its folder for the spool and for its memory of the desired state."""
    if INFERENCE not in settings.ROLES or not settings.DATA_DIR.exists() or settings.DATA_DIR.is_dir():
        return []
    return [
        Error(
            f"DATA_DIR {settings.DATA_DIR} is not a folder",
            hint="Set DATA_DIR to a writable folder.",
            id="inference.E009",
        )
    ]


@register(SETTINGS)
def check_engine_setting(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """An engine that does not exist would keep every version from loading."""
    from inference.choice import WISHES

    if settings.ENGINE in WISHES:
        return []
    return [
        Error(
            f"ENGINE '{settings.ENGINE}' is no engine",
            hint=f"Set ENGINE to one of: {', '.join(WISHES)}.",
            id="inference.E011",
        )
    ]
