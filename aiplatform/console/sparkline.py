"""A line of a few pixels for a table's cell: drawn by the server, for a library would weigh more than its ink."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from aiplatform.console.numerals import number_text

Place = tuple[float, float]


def sparkline(values: Sequence[float | None], *, label: str = "", width: int = 120, height: int = 28) -> SafeString:
    """Return a small line without axes, for a table cell or a tile; None is a gap."""
    known = [value for value in values if value is not None]
    last = number_text(known[-1]) if known else "no data"
    spoken = f"{label}: {last}" if label else last
    paths = format_html_join(
        "",
        '<path d="{}" fill="none" stroke="var(--chart-1, #2563eb)" stroke-width="1.5" stroke-linejoin="round"/>',
        ((_path(run),) for run in _runs(values, width, height)),
    )
    return format_html(
        '<svg class="chart-sparkline" role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">'
        "<title>{}</title>{}</svg>",
        spoken, width, height, width, height, spoken, paths,
    )  # fmt: skip


def _runs(values: Sequence[float | None], width: int, height: int) -> list[list[Place]]:
    """Return the places of each unbroken run of values; zero is in the picture unless all lie far from it."""
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    low = 0.0 if 0 <= low <= 0.6 * high else low
    spread, step = (high - low) or 1.0, (width - 4) / max(len(values) - 1, 1)
    middle = 0.5 if high == low and high else 0.0  # a flat line runs through the middle, one of zeros at the bottom
    places = [
        None if value is None else (2 + index * step, height - 3 - ((value - low) / spread + middle) * (height - 6))
        for index, value in enumerate(values)
    ]
    return [
        [place for place in run if place is not None]
        for is_known, run in itertools.groupby(places, key=lambda place: place is not None)
        if is_known
    ]


def _path(run: list[Place]) -> str:
    if len(run) == 1:
        run = [run[0], (run[0][0] + 1.5, run[0][1])]  # a dot
    return " ".join(f"{'L' if index else 'M'}{x:.1f} {y:.1f}" for index, (x, y) in enumerate(run))
