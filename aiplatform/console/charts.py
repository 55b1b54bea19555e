"""Charts for the console's pages: inline SVG drawn by the server, so they need no script and no asset.

Apps use `line_chart`, `bar_chart` and `sparkline` in their admin pages and panels. Colours are the CSS
variables of console.css (with fallbacks), text is `currentColor`: light and dark both work. Every
value can be read without a mouse by its table-like `<title>` elements, with one by hovering.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from aiplatform.console.bars import draw_bars
from aiplatform.console.figure import Frame, colour, empty_figure, figure, horizontal_grid, threshold_lines, x_axis
from aiplatform.console.scales import Scale, inner_ticks, nice_ticks, number_text, padded_range, time_text, time_ticks
from aiplatform.console.svg import element

Point = tuple[float | datetime, float | None]
_Numbers = list[tuple[float, float | None]]
_DOTS_UP_TO = 40  # points of a series that are marked; more would hide the line


def line_chart(
    *,
    title: str,
    series: Mapping[str, Sequence[Point]],
    x_label: str = "",
    y_label: str = "",
    x_is_time: bool = False,
    thresholds: Mapping[str, float] | None = None,
    width: int = 560,
    height: int = 220,
) -> SafeString:
    """Return lines over x; None as y is a gap.

    With `x_is_time`, x is a datetime or seconds since the epoch, shown in UTC. `thresholds` are
    dashed horizontal lines by name. `width` is the largest width in CSS pixels: give what the place has
    (560 fits half a page, 440 a panel), for in a narrower place the texts shrink along.
    """
    lines = {name: [(_number(x), y) for x, y in points] for name, points in series.items()}
    xs = [x for points in lines.values() for x, y in points if y is not None]
    ys = [y for points in lines.values() for _, y in points if y is not None]
    if not ys:
        return empty_figure(title, width=width, height=height)
    limits = dict(thresholds or {})
    y_ticks = nice_ticks(*padded_range([*ys, *limits.values()]))
    frame = Frame(width=width, height=height, has_x_label=bool(x_label), has_y_label=bool(y_label))
    pad = 0 if min(xs) < max(xs) else 60 if x_is_time else 1
    x_low, x_high = min(xs) - pad, max(xs) + pad
    x_scale = Scale(low=x_low, high=x_high, start=frame.left, end=frame.right)
    y_scale = Scale(low=y_ticks[0], high=y_ticks[-1], start=frame.bottom, end=frame.top)
    x_texts = _x_texts(x_low, x_high, x_is_time)
    parts = [
        horizontal_grid(frame, y_scale, y_ticks, y_label),
        x_axis(frame, [(x_scale(x), text) for x, text in x_texts], x_label),
        threshold_lines(frame, y_scale, limits),
        *(_line(lines[name], index, name, x_scale, y_scale, x_is_time) for index, name in enumerate(lines)),
    ]
    return figure(title, parts, list(lines), width=width, height=height)


def bar_chart(
    *,
    title: str,
    series: Mapping[str, Mapping[str, float | None]],
    x_label: str = "",
    y_label: str = "",
    thresholds: Mapping[str, float] | None = None,
    width: int = 560,
    height: int = 220,
) -> SafeString:
    """Return upright bars, one group a category, one bar a series; None leaves a bar out."""
    categories = list(dict.fromkeys(category for bars in series.values() for category in bars))
    values = [value for bars in series.values() for value in bars.values() if value is not None]
    if not values:
        return empty_figure(title, width=width, height=height)
    limits = dict(thresholds or {})
    y_ticks = nice_ticks(*padded_range([0.0, *values, *limits.values()]))
    frame = Frame(width=width, height=height, has_x_label=bool(x_label), has_y_label=bool(y_label))
    frame = frame.with_room_for(categories)
    y_scale = Scale(low=y_ticks[0], high=y_ticks[-1], start=frame.bottom, end=frame.top)
    places = [(frame.centre(index, len(categories)), category) for index, category in enumerate(categories)]
    parts = [
        horizontal_grid(frame, y_scale, y_ticks, y_label),
        x_axis(frame, places, x_label),
        draw_bars(frame, y_scale, categories, series),
        threshold_lines(frame, y_scale, limits),
    ]
    return figure(title, parts, list(series), width=width, height=height)


def sparkline(values: Sequence[float | None], *, label: str = "", width: int = 120, height: int = 28) -> SafeString:
    """Return a small line without axes, for a table cell or a tile; None is a gap."""
    known = [value for value in values if value is not None]
    last = number_text(known[-1]) if known else "no data"
    spoken = f"{label}: {last}" if label else last
    low, high = padded_range(known)
    x_scale = Scale(low=0, high=max(len(values) - 1, 1), start=2, end=width - 2)
    y_scale = Scale(low=low, high=high, start=height - 3, end=3)
    runs = _runs([(float(index), value) for index, value in enumerate(values)])
    paths = [_path(run, x_scale, y_scale, colour(0), 1.5) for run in runs]
    return element(
        "svg", element("title", spoken), *paths, class_="chart-sparkline", role="img", aria_label=spoken,
        viewBox=f"0 0 {width} {height}", width=width, height=height,
    )  # fmt: skip


def _line(points: _Numbers, index: int, name: str, x_scale: Scale, y_scale: Scale, x_is_time: bool) -> SafeString:
    runs = _runs(points)
    marked = len(points) <= _DOTS_UP_TO
    paths = [_path(run, x_scale, y_scale, colour(index), 2) for run in runs]
    span = x_scale.high - x_scale.low
    dots = [
        element(
            "circle",
            element("title", f"{name}: {number_text(y)} at {time_text(x, span) if x_is_time else number_text(x)}"),
            cx=x_scale(x), cy=y_scale(y), r=2.5 if marked or len(run) == 1 else 4,
            fill=colour(index), fill_opacity=None if marked or len(run) == 1 else 0,
        )
        for run in runs for x, y in run
    ]  # fmt: skip
    return element("g", *paths, *dots, class_="chart-line")


def _path(
    run: list[tuple[float, float]], x_scale: Scale, y_scale: Scale, stroke: str, stroke_width: float
) -> SafeString:
    steps = " ".join(f"{'L' if i else 'M'}{x_scale(x):.1f} {y_scale(y):.1f}" for i, (x, y) in enumerate(run))
    attributes: dict[str, Any] = {"fill": "none", "stroke": stroke, "stroke_width": stroke_width}
    return element("path", d=steps, stroke_linejoin="round", stroke_linecap="round", **attributes)


def _runs(points: _Numbers) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _x_texts(low: float, high: float, is_time: bool) -> list[tuple[float, str]]:
    if is_time:
        return [(tick, time_text(tick, high - low)) for tick in time_ticks(low, high)]
    return [(tick, number_text(tick)) for tick in inner_ticks(low, high, 8)]


def _number(x: float | datetime) -> float:
    return x.timestamp() if isinstance(x, datetime) else float(x)
