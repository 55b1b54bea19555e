"""The lines on top of every page of the console that apps announced, such as a hold of all automation."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from aiplatform.errors import PlatformError
from aiplatform.wiring import Banner, wiring

log = structlog.get_logger(__name__)


def banners(request: HttpRequest) -> dict[str, Any]:
    """Add the banners to the context; they are asked for only where a page shows them."""
    return {"console_banners": SimpleLazyObject(lambda: _collect(request))}


def _collect(request: HttpRequest) -> list[Banner]:
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return []
    found: list[Banner] = []
    for ask in wiring.banners:
        try:
            found += ask()
        except (PlatformError, DatabaseError) as error:
            log.warning("banner_failed", error=str(error))
    return found
