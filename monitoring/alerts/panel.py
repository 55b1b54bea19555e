"""The first thing on the console's home page: what is firing."""

from __future__ import annotations

from typing import Any

from monitoring.alerts.selectors import list_firing_alerts

SHOWN = 5


def count_firing() -> int:
    """Return how many alerts fire, for the sidebar."""
    return list_firing_alerts().count()


def firing_panel() -> dict[str, Any]:
    """Return the context of the panel: the worst alerts, and how many more there are."""
    firing = list_firing_alerts()
    count = firing.count()
    return {"alerts": list(firing[:SHOWN]), "count": count, "more": max(0, count - SHOWN)}
