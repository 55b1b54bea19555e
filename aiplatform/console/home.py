"""The console's home page: the panels that apps announced, in their order."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from aiplatform.errors import PlatformError
from aiplatform.wiring import Panel, wiring

log = structlog.get_logger(__name__)


def home_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the drawn panels to the admin's index page."""
    panels = sorted(wiring.panels, key=lambda panel: panel.order)
    context["title"] = "What matters now"
    context["panels"] = [draw_panel(request, panel) for panel in panels]
    context["public_url"] = settings.PUBLIC_URL
    return context


def draw_panel(request: HttpRequest, panel: Panel) -> SafeString:
    """Return one panel; one that cannot be drawn says why and leaves the others alone."""
    try:
        return render_to_string(panel.template, panel.context(), request)
    except (PlatformError, DatabaseError) as error:
        log.warning("panel_failed", panel=panel.name, error=str(error))
        return render_to_string("console/panel_failed.html", {"name": panel.name, "error": str(error)}, request)
