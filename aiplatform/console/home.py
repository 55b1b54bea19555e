"""The console's home page: the panels that apps announced, in their order."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from aiplatform.wiring import wiring


def home_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add each panel's template and context to the admin's index page."""
    panels = sorted(wiring.panels, key=lambda panel: panel.order)
    context["panels"] = [{"template": p.template, "context": p.context()} for p in panels]
    return context
