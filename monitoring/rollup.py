"""Rolls closed minutes up into hours, and hours into days: exactly, by one owner at a time.

A step is one transaction: the open windows of one hour are locked, added to the hour's open window,
and marked as rolled up. Whoever is killed in it leaves nothing; a second clock waits for the locks
and finds nothing left to do. What comes late goes into a new open window of the same minute, and is
added to hour and day by the next step. So each prediction is in one window of each resolution at
most, and which one it is in says `is_rolled_up`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from monitoring.cover import floor_time
from monitoring.models import PredictionBlock, Window
from monitoring.windows import LABEL_FIELDS, WindowContent, lock_open_window

Resolution = Window.Resolution
NEXT: dict[int, int] = {Resolution.MINUTE: Resolution.HOUR, Resolution.HOUR: Resolution.DAY}
MAX_STEPS = 200  # of one run; the clock comes again
MAX_PARTS = 120  # open windows of one step: the minutes of an hour, and as many that came late
log = structlog.get_logger(__name__)


def roll_up_windows(*, now: datetime | None = None) -> int:
    """Roll up what has closed WINDOW_ROLLUP_DELAY_S ago; return how many windows."""
    before = (now or datetime.now(UTC)) - timedelta(seconds=settings.WINDOW_ROLLUP_DELAY_S)
    rolled = 0
    for fine, coarse in NEXT.items():
        for served, start in islice(_closed(fine, coarse, before), MAX_STEPS):
            rolled += _roll_up(served, start, fine, coarse)
    if rolled:
        log.info("windows_rolled_up", windows=rolled)
    return rolled


def _closed(fine: int, coarse: int, before: datetime) -> Any:
    """Give (served version, start) of the hours or days that have ended and hold open finer windows."""
    closed = Window.objects.filter(resolution=fine, is_rolled_up=False, start__lt=floor_time(before, coarse))
    seen: set[tuple[int, datetime]] = set()
    for served, start in closed.order_by("start").values_list("served", "start"):
        key = (served, floor_time(start, coarse))
        if key not in seen:
            seen.add(key)
            yield key


@transaction.atomic
def _roll_up(served: int, start: datetime, fine: int, coarse: int) -> int:
    """Add the open windows of one hour or day to its own; return how many there were."""
    end = start + timedelta(seconds=coarse)
    parts = Window.objects.filter(served=served, resolution=fine, is_rolled_up=False, start__gte=start, start__lt=end)
    rows = list(parts.order_by("start").select_for_update()[:MAX_PARTS])
    if not rows:
        return 0
    _add(lock_open_window(served, start, coarse), rows)
    for row in rows:
        _close(row)
    return len(rows)


def _add(target: Window, rows: list[Window]) -> None:
    """Add counts, sketches and labels of some windows to another, and save it."""
    content = WindowContent.read_from(target)
    for row in rows:
        content.merge(WindowContent.read_from(row))
        for name in LABEL_FIELDS:
            setattr(target, name, getattr(target, name) + getattr(row, name))
    content.write_to(target)
    target.save()


def _close(row: Window) -> None:
    """Mark a window as rolled up; if that of its time already is, it takes this one in."""
    same = {"served": row.served_id, "resolution": row.resolution, "start": row.start, "is_rolled_up": True}
    closed = Window.objects.filter(**same).select_for_update().first()
    if closed is None:
        row.is_rolled_up = True
        row.save(update_fields=["is_rolled_up"])
        return
    _add(closed, [row])
    PredictionBlock.objects.filter(window=row).update(window=closed)
    row.delete()
