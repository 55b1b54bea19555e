"""Charts for the console's pages: what to draw is said here, Apache ECharts draws it in the browser.

Apps use `line_chart`, `bar_chart` and `sparkline` in their admin pages, panels and reports. A chart is a
`<console-chart>` element (static/console/charts.js) that carries its content with it, so it bears being
put into a page at any time; and a table of the same numbers, which is all there is without JavaScript.
Colours are the CSS variables of console.css. docs/decisions/charts.md says why this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from aiplatform.console.chart_figure import Column, NumberTable, empty_figure, figure
from aiplatform.console.numerals import number_text, share_text, time_text
from aiplatform.console.sparkline import sparkline

__all__ = ["bar_chart", "line_chart", "sparkline"]

Point = tuple[float | datetime, float | None]
Interval = tuple[float | datetime, float | None, float | None]


def line_chart(
    *,
    title: str,
    series: Mapping[str, Sequence[Point]],
    x_label: str = "",
    y_label: str = "",
    x_is_time: bool = False,
    y_is_share: bool = False,
    thresholds: Mapping[str, float] | None = None,
    bands: Mapping[str, Sequence[Interval]] | None = None,
    marks: Mapping[str, float | datetime] | None = None,
    x_range: tuple[float | datetime, float | datetime] | None = None,
    width: int = 560,
    height: int = 220,
) -> SafeString:
    """Return lines over x; None as y is a gap.

    With `x_is_time`, x is a datetime or seconds since the epoch, shown in UTC. With `y_is_share`, 0.12
    reads 12%. `thresholds` are dashed horizontal lines by name, `marks` vertical ones; `bands` are
    intervals around the series of the same name. `x_range` is what the axis shows at least.
    `width` is the largest width in CSS pixels.
    """
    lines = {name: [(_number(x), y) for x, y in points] for name, points in series.items()}
    if not any(y is not None for points in lines.values() for _, y in points):
        return empty_figure(title, width=width)
    spec: dict[str, Any] = {
        "kind": "line",
        "xKind": "time" if x_is_time else "number",
        "xName": x_label,
        "yName": y_label,
        "isShare": y_is_share,
        "series": [{"name": name, "points": points} for name, points in lines.items()],
        "bands": [
            {"name": name, "points": [(_number(x), low, high) for x, low, high in points]}
            for name, points in (bands or {}).items()
            if name in lines
        ],
        "thresholds": [{"name": name, "value": value} for name, value in (thresholds or {}).items()],
        "xRange": [_number(x) for x in x_range] if x_range else None,
        "marks": [{"name": name, "at": _number(at)} for name, at in (marks or {}).items()],
    }
    table = _line_table(lines, x_label or ("time, UTC" if x_is_time else "x"), x_is_time, y_is_share)
    return figure(title, spec, table, names=list(lines), y_label=y_label, width=width, height=height)


def bar_chart(
    *,
    title: str,
    series: Mapping[str, Mapping[str, float | None]],
    x_label: str = "",
    y_label: str = "",
    y_is_share: bool = False,
    thresholds: Mapping[str, float] | None = None,
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
    width: int = 560,
    height: int = 220,
) -> SafeString:
    """Return upright bars, one group a category, one bar a series; None leaves a bar out.

    `intervals` are drawn as whiskers on the bars of the same series and category.
    """
    categories = list(dict.fromkeys(category for bars in series.values() for category in bars))
    if not any(value is not None for bars in series.values() for value in bars.values()):
        return empty_figure(title, width=width)
    whiskers = intervals or {}
    spec: dict[str, Any] = {
        "kind": "bar",
        "xKind": "category",
        "xName": x_label,
        "yName": y_label,
        "isShare": y_is_share,
        "categories": categories,
        "series": [
            {
                "name": name,
                "values": [bars.get(category) for category in categories],
                "intervals": [whiskers.get(name, {}).get(category) for category in categories],
            }
            for name, bars in series.items()
        ],
        "thresholds": [{"name": name, "value": value} for name, value in (thresholds or {}).items()],
    }
    say = share_text if y_is_share else number_text
    rows = [
        [category, *(_text(bars.get(category), say) for bars in series.values())]
        for category in categories
    ]  # fmt: skip
    table = NumberTable(columns=[Column(x_label or "", is_number=False), *map(Column, series)], rows=rows)
    return figure(title, spec, table, names=list(series), y_label=y_label, width=width, height=height)


def _line_table(
    lines: Mapping[str, list[tuple[float, float | None]]], x_name: str, x_is_time: bool, y_is_share: bool
) -> NumberTable:
    xs = sorted({x for points in lines.values() for x, y in points if y is not None})
    values = {name: dict(points) for name, points in lines.items()}
    span = xs[-1] - xs[0]
    say = share_text if y_is_share else number_text
    rows = [
        [time_text(x, span) if x_is_time else number_text(x), *(_text(found.get(x), say) for found in values.values())]
        for x in xs
    ]
    return NumberTable(columns=[Column(x_name, is_number=not x_is_time), *map(Column, lines)], rows=rows)


def _text(value: float | None, say: Any) -> str:
    return "-" if value is None else str(say(value))


def _number(x: float | datetime) -> float:
    return x.timestamp() if isinstance(x, datetime) else float(x)
