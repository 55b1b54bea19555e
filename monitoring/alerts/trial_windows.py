"""When the windows of a version begin: a measurement changes only where one comes or goes."""

from __future__ import annotations

from datetime import datetime

from monitoring.models import Window


def list_window_starts(endpoint: str, version: int, start: datetime, end: datetime) -> list[datetime]:
    """Return when the stored windows of a version within a time begin, of whatever length they are."""
    found = Window.objects.filter(served__endpoint=endpoint, served__version=version, start__gte=start, start__lte=end)
    return list(found.order_by("start").values_list("start", flat=True).distinct())
