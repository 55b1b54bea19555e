"""The plots of a search: its history, which parameters lead where, and how much each matters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from aiplatform.console.charts import bar_chart, line_chart
from training.models import Search, Trial
from training.searching.space import Dimension
from training.states import TrialState

_WIDTH, _HEIGHT, _TOP, _BOTTOM, _SIDE = 900, 300, 34, 22, 70
_MOST_LINES = 300


def search_plots(search: Search, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the plots by their names in search_page.html; what cannot be drawn yet is empty."""
    return {
        "history": _history(search, trials),
        "parallel": parallel_coordinates(search, trials),
        "importance": _importance(search),
    }


def _history(search: Search, trials: Sequence[Trial]) -> SafeString:
    told = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    best: list[tuple[Any, float | None]] = []
    for trial in told:
        value = float(trial.value or 0.0)
        before = best[-1][1] if best else None
        if before is not None:
            value = min(value, before) if search.is_minimized else max(value, before)
        best.append((trial.number, value))
    return line_chart(
        title="History",
        series={search.metric: [(trial.number, trial.value) for trial in told], "Best so far": best},
        x_label="trial",
    )


def _importance(search: Search) -> SafeString | str:
    if not search.importances:
        return ""
    return bar_chart(title="Importance of the parameters", series={"share": search.importances}, y_is_share=True)


def parallel_coordinates(search: Search, trials: Sequence[Trial]) -> SafeString | str:
    """Return one line a complete trial through an axis a parameter, the last axis being the metric.

    The better a trial, the stronger its line; what the colours say stands in words on the axes.
    Source: Inselberg, The plane with parallel coordinates, The Visual Computer 1 (1985).
    """
    told = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    if not told:
        return ""
    ranked = sorted(told, key=lambda trial: (trial.value or 0.0) * (1 if search.is_minimized else -1))[:_MOST_LINES]
    values = [trial.value or 0.0 for trial in ranked]
    axes = [_Axis(dimension) for dimension in (Dimension.from_dict(stored) for stored in search.space)]
    axes.append(_Axis(Dimension(name=search.metric, low=min(values), high=max(values))))
    gap = (_WIDTH - 2 * _SIDE) / (len(axes) - 1)
    xs = [_SIDE + place * gap for place in range(len(axes))]
    lines = [_line(trial, rank, len(ranked), axes, xs) for rank, trial in enumerate(ranked)]
    return format_html(
        '<figure class="console-chart"><figcaption class="chart-title">Parameters and what they led to</figcaption>'
        '<svg class="training-parallel" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg></figure>',
        _WIDTH, _HEIGHT, f"{len(ranked)} trials over {', '.join(axis.name for axis in axes)}",
        format_html_join("", "{}", ((line,) for line in reversed(lines))),
        format_html_join("", "{}", ((axis.draw(x),) for axis, x in zip(axes, xs, strict=True))),
    )  # fmt: skip


def _line(trial: Trial, rank: int, count: int, axes: Sequence[_Axis], xs: Sequence[float]) -> SafeString:
    reached = {**trial.values, axes[-1].name: trial.value}
    points = " ".join(f"{x:.1f},{axis.y(reached[axis.name]):.1f}" for axis, x in zip(axes, xs, strict=True))
    strength = 1.0 if rank == 0 else 0.75 - 0.6 * rank / count
    says = ", ".join(f"{name}={value}" for name, value in reached.items())
    return format_html(
        '<polyline points="{}" class="{}" style="opacity:{}"><title>trial {}: {}</title></polyline>',
        points, "training-best-line" if rank == 0 else "", f"{strength:.2f}", trial.number, says,
    )  # fmt: skip


class _Axis:
    """An upright axis: where a value lies on it, and how it is drawn."""

    def __init__(self, dimension: Dimension) -> None:
        self.name = dimension.name
        self._of = dimension

    def y(self, value: Any) -> float:
        """Return the height of a value in the drawing's units."""
        share = self._share(value)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def draw(self, x: float) -> SafeString:
        """Return the axis with its name and the values at its ends, or its choices."""
        marks = self._of.choices or (self._of.low, self._of.high)
        texts = format_html_join(
            "", '<text x="{}" y="{}" dy="4">{}</text>',
            ((x + 6, round(self.y(value), 1), _text(value)) for value in marks),
        )  # fmt: skip
        return format_html(
            '<line x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="16" class="training-axis">{}</text>{}',
            x, x, _TOP, _HEIGHT - _BOTTOM, x, self.name, texts,
        )  # fmt: skip

    def _share(self, value: Any) -> float:
        if self._of.choices:
            last = max(1, len(self._of.choices) - 1)
            return self._of.choices.index(value) / last if value in self._of.choices else 0.0
        low, high, at = self._of.low, self._of.high, float(value)
        if self._of.is_log:
            low, high, at = math.log(low), math.log(high), math.log(max(at, 1e-300))
        return 0.5 if high == low else (at - low) / (high - low)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
