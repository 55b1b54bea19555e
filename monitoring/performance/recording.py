"""Adds labelled predictions to the windows of their minutes, inside the caller's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from monitoring.models.performance import PerformanceWindow
from monitoring.performance.counts import add_up, pack_counts, unpack_counts
from monitoring.performance.labelled_rows import LabelledRow, count_rows
from monitoring.predictions import FoundRow
from monitoring.windows import minute_of

MINUTE = 60
WindowKey = tuple[int, datetime]  # served version, minute


class PerformanceChanges:
    """Labelled rows by window, to be written together."""

    def __init__(self) -> None:
        self._rows: dict[WindowKey, list[LabelledRow]] = defaultdict(list)

    def add(self, found: FoundRow, *, label: str | None, value: float | None, sign: int = 1) -> None:
        """Note the truth of a prediction; -1 takes back one that was noted before."""
        said = found.content
        row = LabelledRow(
            true_label=label,
            predicted_label=said.label,
            true_value=value,
            predicted_value=said.value,
            confidence=said.confidence,
            score_codes=said.score_codes,
            classes=said.classes,
            segments=said.segments,
            sign=sign,
        )
        self._rows[(found.block.window.served_id, minute_of(said.time))].append(row)

    def write(self) -> None:
        """Bring the windows up to date. Rows are locked in one order, so that writers wait for each other."""
        left = set(self._rows)
        while left:  # again for the rows that were rolled up between being made and being locked
            keys = sorted(left)
            wanted = [PerformanceWindow(served_id=served, start=start) for served, start in keys]
            PerformanceWindow.objects.bulk_create(wanted, ignore_conflicts=True)
            changed = []
            for window in _locked(keys):
                known = unpack_counts(window.counts)
                more = count_rows(self._rows[(window.served_id, window.start)], known=known)
                window.counts = pack_counts(add_up([known, more]))
                changed.append(window)
            PerformanceWindow.objects.bulk_update(changed, ["counts"], batch_size=100)
            left -= {(window.served_id, window.start) for window in changed}


def _locked(keys: list[WindowKey]) -> Iterable[PerformanceWindow]:
    starts: dict[int, list[datetime]] = defaultdict(list)
    for served, start in keys:
        starts[served].append(start)
    for served, minutes in sorted(starts.items()):
        rows = PerformanceWindow.objects.filter(served_id=served, resolution=MINUTE, start__in=minutes)
        yield from rows.order_by("start").select_for_update()
