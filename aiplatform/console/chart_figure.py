"""The frame of a chart: caption, the element that draws, legend, and the table of its numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

LIBRARY = "console/echarts/echarts.min.js"
COLOURS = 6  # in console.css


@dataclass(frozen=True)
class Column:
    """A column of the numbers' table."""

    name: str
    is_number: bool = True


@dataclass(frozen=True, kw_only=True)
class NumberTable:
    """The numbers of a chart as text."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]


def figure(
    title: str,
    spec: Mapping[str, Any],
    table: NumberTable,
    *,
    names: Sequence[str],
    y_label: str,
    width: int,
    height: int,
) -> SafeString:
    """Return the whole chart. `spec` is what charts.js draws; numbers that are not finite are gaps."""
    return format_html(
        '<figure class="console-chart" style="max-width:{}px">{}'
        '<console-chart class="chart-drawing" role="img" aria-label="{}" style="height:{}px" library="{}" spec="{}">'
        "</console-chart>{}{}</figure>",
        width, _caption(title, y_label), _spoken(title, names, table), height, static(LIBRARY),
        json.dumps(_finite(spec), separators=(",", ":")), _legend(names), _numbers(title, table),
    )  # fmt: skip


def empty_figure(title: str, *, width: int) -> SafeString:
    """Return the chart's place with the words 'No data yet'."""
    return format_html(
        '<figure class="console-chart" style="max-width:{}px">{}<p class="chart-empty">No data yet</p></figure>',
        width, _caption(title, ""),
    )  # fmt: skip


def _caption(title: str, y_label: str) -> SafeString:
    unit = format_html(' <span class="chart-unit">{}</span>', y_label) if y_label else ""
    return format_html('<figcaption class="chart-title">{}{}</figcaption>', title, unit)


def _spoken(title: str, names: Sequence[str], table: NumberTable) -> str:
    """Return what a screen reader says: the title, and each series' first and last value."""
    parts = []
    for place, name in enumerate(names, 1):
        known = [(row[0], row[place]) for row in table.rows if row[place] != "-"]
        if len(known) > 1:
            parts.append(f"{name} from {known[0][1]} at {known[0][0]} to {known[-1][1]} at {known[-1][0]}")
        elif known:
            parts.append(f"{name} {known[0][1]} at {known[0][0]}")
    return f"{title}: {'; '.join(parts)}"


def _legend(names: Sequence[str]) -> SafeString | str:
    if len(names) < 2:
        return ""
    keys = format_html_join(
        "",
        '<span class="chart-key"><span class="chart-swatch" style="background:var(--chart-{})"></span>{}</span>',
        ((place % COLOURS + 1, name) for place, name in enumerate(names)),
    )
    return format_html('<div class="chart-legend">{}</div>', keys)


def _numbers(title: str, table: NumberTable) -> SafeString:
    head = format_html_join(
        "", '<th scope="col"{}>{}</th>', ((_align(column), column.name) for column in table.columns)
    )
    openings = [f"<td{_align(column)}>" for column in table.columns]
    rows = SafeString("".join([f"<tr>{_cells(row, openings)}</tr>" for row in table.rows]))
    return format_html(
        '<details class="chart-numbers" open><summary aria-label="Numbers of: {}">Numbers</summary>'
        '<div class="chart-scroll"><table class="console-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        "</div></details>",
        title, head, rows,
    )  # fmt: skip


def _cells(row: Sequence[str], openings: Sequence[str]) -> str:
    """Return a row's cells; escaped here and not by `format_html`: a chart may have ten thousand."""
    return "".join([f"{opening}{escape(text)}</td>" for text, opening in zip(row, openings, strict=True)])


def _align(column: Column) -> SafeString | str:
    return SafeString(' class="console-number"') if column.is_number else ""


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
